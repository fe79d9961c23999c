-- Parked messages, the newest first; 'group' is what makes them alike.
select json_build_object('id', k.id, 'state', k.state, 'group', kc.parked_group(k), 'stage', k.stage, 'reason', k.reason, 'field', k.field,
    'provider', k.provider, 'event_id', k.event_id, 'payment_id', k.payment_id, 'student_id', k.student_id, 'attempts', k.attempts,
    'first_at', k.first_at, 'last_at', k.last_at, 'resolved_by', k.resolved_by, 'resolution', k.resolution)::text
from parked k
where k.state = %(state)s and k.id < %(before)s and (%(group)s::text is null or kc.parked_group(k) = %(group)s)
order by k.id desc limit %(most)s
