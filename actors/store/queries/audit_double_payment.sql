-- A10. Orders that were paid more than once, and not given back: each payment made its purchase, a person decides.
select p.provider || ':' || p.order_id, json_build_object('payments', json_agg(p.payment_id order by p.payment_id))::text, max(p.updated_at)
from payment p
where p.order_id is not null and p.state = 'captured'
    and not exists (select from purchase x where x.provider = p.provider and x.payment_id = p.payment_id and x.status in ('refunded', 'revoked'))
group by p.provider, p.order_id having count(*) > 1
order by 3 limit %(most)s
