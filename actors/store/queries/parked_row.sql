-- One parked message with its bytes: what it is, and its payload as text where it is text.
select json_build_object('id', k.id, 'state', k.state, 'group', kc.parked_group(k), 'stage', k.stage, 'reason', k.reason, 'field', k.field,
    'provider', k.provider, 'event_id', k.event_id, 'payment_id', k.payment_id, 'student_id', k.student_id, 'attempts', k.attempts,
    'first_at', k.first_at, 'last_at', k.last_at, 'resolved_by', k.resolved_by, 'resolution', k.resolution, 'origin', k.origin)::text, k.payload, k.state
from parked k where k.id = %(id)s
