select k.payload, k.state, k.provider, k.event_id from parked k where k.id = %(id)s
