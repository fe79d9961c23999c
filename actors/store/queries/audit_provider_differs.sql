-- A11. The provider's statement and our payments: missing here, missing there, or different. Only spans that were read count.
(select s.provider || ':' || s.payment_id,
    json_build_object('bucket', case when p.payment_id is null then 'missing_here' else 'differs' end,
        'theirs', json_build_object('state', s.state, 'amount', s.amount, 'currency', s.currency),
        'ours', case when p.payment_id is not null then json_build_object('state', p.state, 'amount', p.amount, 'currency', p.currency) end)::text,
    s.captured_at
from statement_payment s left join payment p using (provider, payment_id)
where s.captured_at < now() - make_interval(secs => %(pending_s)s)
    and (p.payment_id is null or (s.amount, s.currency) is distinct from (p.amount, p.currency)
        or (s.state = 'captured' and kc.payment_rank(p.state) < kc.payment_rank('captured')))
order by 3 limit %(most)s)
union all
(select p.provider || ':' || p.payment_id,
    json_build_object('bucket', 'missing_there', 'ours', json_build_object('state', p.state, 'amount', p.amount, 'currency', p.currency))::text,
    p.captured_at
from (select distinct p.* from statement_span w join payment p on p.provider = w.provider
    and p.captured_at >= w.covered_from and p.captured_at < w.covered_to) p
where coalesce(kc.payment_rank(p.state), 9) >= kc.payment_rank('captured')
    and not exists (select from statement_payment s where s.provider = p.provider and s.payment_id = p.payment_id)
order by 3 limit %(most)s)
