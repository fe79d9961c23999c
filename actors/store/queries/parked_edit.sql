update parked set payload = %(payload)s, last_at = clock_timestamp(), origin = origin || '{"edited": true}' where id = %(id)s and state = 'open' returning id
