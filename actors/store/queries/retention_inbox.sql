-- One small batch of old marks. A mark without its effect stays, however old: it is the only trace of a loss.
delete from inbox where ctid = any (array(
    select b.ctid from inbox b where b.received_at < now() - make_interval(days => %(inbox_days)s)
        and (not kc.promises_purchase(b.type, b.outcome)
            or exists (select from purchase p where p.provider = b.provider and p.payment_id = b.payment_id))
    limit %(most)s for update skip locked))
