"""Events out: the announcer rings Redis at once, the relay brings every event to Kafka in order."""
