-- Half-done purchases: paid, but without an allocation row or without the event that tells of them. Two anti-joins: one condition
-- with "or" goes from row to row through a million of them. back_s: null for all, however old.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, null, p.created_at
from (
    select x.* from purchase x
        where x.status in ('paid', 'partly_refunded') and not exists (select from allocation a where a.purchase_id = x.purchase_id)
    union
    -- older ones may have been told of in a part of the log that retention took
    select x.* from purchase x
        where x.created_at >= (select events_since from service)
            and not exists (select from event e where e.purchase_id = x.purchase_id and e.type = 'PURCHASE_CREATED')
) p
where p.created_at < now() - make_interval(secs => %(age_s)s)
    and p.created_at >= coalesce(now() - make_interval(secs => %(back_s)s), '-infinity')
order by p.created_at limit %(most)s
