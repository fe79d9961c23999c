-- A9. Purchases whose payment is disputed and that do not say so, and lost ones that still hold a place.
select p.purchase_id::text, json_build_object('student_id', p.student_id, 'status', p.status, 'should_be',
    kc.standing(p.provider, p.payment_id, p.amount, p.refunded), 'allocation', a.status)::text, max(d.updated_at)
from dispute d join purchase p using (provider, payment_id) left join allocation a using (purchase_id)
where d.updated_at < now() - make_interval(secs => %(settled_s)s)
    and (p.status <> kc.standing(p.provider, p.payment_id, p.amount, p.refunded)
        or (p.status = 'revoked' and a.status in ('requested', 'waitlisted', 'allocated')))
group by p.purchase_id, a.status
order by 3 limit %(most)s
