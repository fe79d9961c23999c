select k.payload, k.state from parked k where k.id = %(id)s
