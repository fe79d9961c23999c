-- Half-done purchases: paid, but without an allocation row or without the event that tells of them.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, null, p.created_at
from purchase p
where p.created_at < now() - make_interval(secs => %s)
    and ((p.status in ('paid', 'partly_refunded') and not exists (select from allocation a where a.purchase_id = p.purchase_id))
        -- older ones may have been told of in a part of the log that retention took
        or p.created_at >= (select events_since from service) and not exists (select from event e where e.purchase_id = p.purchase_id and e.type = 'PURCHASE_CREATED'))
order by p.created_at limit %s
