update parked set resolved_by = %(who)s where id = %(id)s and state = 'resolved' returning resolution
