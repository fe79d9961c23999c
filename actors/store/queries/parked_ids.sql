select k.id from parked k where k.state = 'open' and (%(group)s::text is null or kc.parked_group(k) = %(group)s) order by k.id limit %(most)s
