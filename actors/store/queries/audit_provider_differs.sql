-- A11. The provider's statement and our payments: missing here, missing there, or different. Only spans that were read count.
select coalesce(s.provider, p.provider) || ':' || coalesce(s.payment_id, p.payment_id),
    json_build_object('bucket', case when p.payment_id is null then 'missing_here' when s.payment_id is null then 'missing_there' else 'differs' end,
        'theirs', case when s.payment_id is not null then json_build_object('state', s.state, 'amount', s.amount, 'currency', s.currency) end,
        'ours', case when p.payment_id is not null then json_build_object('state', p.state, 'amount', p.amount, 'currency', p.currency) end)::text,
    coalesce(s.captured_at, p.captured_at)
from (select * from statement_payment where captured_at < now() - make_interval(secs => %(pending_s)s)) s
full join (
    select m.* from payment m where m.captured_at is not null and (
        exists (select from statement_payment x where x.provider = m.provider and x.payment_id = m.payment_id)
        or (kc.payment_rank(m.state) >= kc.payment_rank('captured') and exists (select from statement_span w
            where w.provider = m.provider and m.captured_at >= w.covered_from and m.captured_at < w.covered_to)))
) p using (provider, payment_id)
where p.payment_id is null or (s.payment_id is null and not exists (select from statement_payment x where x.provider = p.provider and x.payment_id = p.payment_id))
    or (s.payment_id is not null and (s.amount, s.currency) is distinct from (p.amount, p.currency))
    or (s.state = 'captured' and kc.payment_rank(p.state) < kc.payment_rank('captured'))
order by 3 limit %(most)s
