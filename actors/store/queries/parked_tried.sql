-- A retry that did not help: counted, and the newest reason shown. Where it left a parked row of its own, that one goes on.
update parked k set attempts = k.attempts + case when k.last_at < now() then 1 else 0 end, last_at = clock_timestamp(),
    reason = coalesce(%(reason)s, k.reason),
    state = case when newer.id is null then k.state else 'resolved' end,
    resolved_by = case when newer.id is null then k.resolved_by else %(who)s end,
    resolution = case when newer.id is null then k.resolution else 'goes on as ' || newer.id end
from (select 1) one left join lateral (
    select n.id from parked n join parked o on o.id = %(id)s
    where n.state = 'open' and n.id > o.id and n.first_at >= now() and (n.payment_id = %(payment_id)s) order by n.id desc limit 1) newer on true
where k.id = %(id)s and k.state = 'open'
returning newer.id
