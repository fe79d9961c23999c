"""Kafka in: records become messages, and an offset is committed only when what it stands for stands."""
