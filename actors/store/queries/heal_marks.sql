-- Marks that promise a purchase, where neither purchase nor payment stands: what they carry may still tell what was meant.
-- back_s: null for all of them, however old.
select b.provider, b.event_id, b.payment_id, b.payload::text
from inbox b
where kc.promises_purchase(b.type, b.outcome) and b.received_at < now() - make_interval(secs => %(age_s)s)
    and b.received_at >= coalesce(now() - make_interval(secs => %(back_s)s), '-infinity')
    and not exists (select from purchase p where p.provider = b.provider and p.payment_id = b.payment_id)
    and not exists (select from payment p where p.provider = b.provider and p.payment_id = b.payment_id and p.state = 'captured')
    and not exists (select from finding f where f.kind = 'mark_without_effect' and f.subject = b.provider || ':' || b.event_id and f.state = 'open'
        and f.detail ? 'reason')
limit %(most)s
