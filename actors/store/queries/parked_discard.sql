update parked set state = 'discarded', resolved_by = %(who)s, resolution = %(reason)s, last_at = clock_timestamp() where id = %(id)s and state = 'open' returning id
