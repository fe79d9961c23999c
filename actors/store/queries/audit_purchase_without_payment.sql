-- A3. Purchases that nobody paid for: their payment is absent, or was never captured.
select p.purchase_id::text, json_build_object('student_id', p.student_id, 'provider', p.provider, 'payment_id', p.payment_id,
    'payment', coalesce(m.state, 'absent'))::text, p.created_at
from purchase p left join payment m using (provider, payment_id)
where p.created_at < now() - make_interval(secs => %(settled_s)s)
    and (m.payment_id is null or kc.payment_rank(m.state) < kc.payment_rank('captured'))
order by p.created_at limit %(most)s
