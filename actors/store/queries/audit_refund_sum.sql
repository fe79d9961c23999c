-- A8. Purchases whose refunds do not add up to what they say, or whose status says something else, and refunds that still wait
-- for a payment that has come.
(select p.purchase_id::text, json_build_object('student_id', p.student_id, 'refunds', coalesce(r.total, 0), 'refunded', p.refunded,
    'status', p.status)::text, coalesce(r.last_at, p.created_at)
from purchase p
left join (select provider, payment_id, sum(amount) as total, max(applied_at) as last_at from refund where status = 'applied'
    group by provider, payment_id) r using (provider, payment_id)
where p.created_at < now() - make_interval(secs => %(settled_s)s)
    and (p.refunded <> coalesce(r.total, 0)
        or case p.status when 'paid' then p.refunded <> 0
            when 'partly_refunded' then p.refunded = 0 or p.refunded = p.amount
            when 'refunded' then p.refunded <> p.amount
            else false end)
order by 3 limit %(most)s)
union all
(select p.purchase_id::text, json_build_object('student_id', p.student_id, 'waiting_refund', r.refund_id, 'amount', r.amount)::text, r.created_at
from refund r join purchase p using (provider, payment_id)
where r.status = 'pending' and r.created_at < now() - make_interval(secs => %(settled_s)s)
order by 3 limit %(most)s)
