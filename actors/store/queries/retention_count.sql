-- What retention would take: marks whose purchase stands or that promised none, and events that Kafka has.
select (
    select count(*) from inbox b where b.received_at < now() - make_interval(days => %(inbox_days)s)
        and (not kc.promises_purchase(b.type, b.outcome)
            or exists (select from purchase p where p.provider = b.provider and p.payment_id = b.payment_id))
), (
    select count(*) from event e where e.created_at < now() - make_interval(days => %(event_days)s)
        and not exists (select from outbox o where o.student_id = e.student_id and o.seq <= e.seq)
)
