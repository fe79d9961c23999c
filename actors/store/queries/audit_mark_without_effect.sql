-- A4. Marks that promise a purchase which does not stand. Where the payment stands as captured, A1 names it.
select b.provider || ':' || b.event_id, json_build_object('payment_id', b.payment_id, 'outcome', b.outcome,
    'payload', case when b.payload is null then 'absent' else 'there' end)::text, b.received_at
from inbox b
where kc.promises_purchase(b.type, b.outcome) and b.received_at < now() - make_interval(secs => %(settled_s)s)
    and not exists (select from purchase p where p.provider = b.provider and p.payment_id = b.payment_id)
    and not exists (select from payment p where p.provider = b.provider and p.payment_id = b.payment_id and p.state = 'captured')
order by b.received_at limit %(most)s
