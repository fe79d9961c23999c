-- A12. Parked messages that nobody has dealt with in time.
select 'parked:' || k.id, json_build_object('stage', k.stage, 'reason', k.reason, 'field', k.field, 'payment_id', k.payment_id,
    'attempts', k.attempts)::text, k.first_at
from parked k where k.state = 'open' and k.first_at < now() - make_interval(secs => %(parked_s)s)
order by k.first_at limit %(most)s
