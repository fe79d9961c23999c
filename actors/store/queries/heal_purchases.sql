-- Half-done purchases: paid, but without an allocation row or without the event that tells of them.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, null, p.created_at
from purchase p
where p.created_at < now() - make_interval(secs => %s)
    and ((p.status in ('paid', 'partly_refunded') and not exists (select from allocation a where a.purchase_id = p.purchase_id))
        or not exists (select from event e where e.purchase_id = p.purchase_id and e.type = 'PURCHASE_CREATED'))
order by p.created_at limit %s
