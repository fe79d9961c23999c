-- What could not be done is kept with its bytes and its reason; one open row for the same thing, however often it comes.

create type kc.park_msg as (
    stage text, reason text, field text, provider text, event_id text, payment_id text, student_id uuid,
    payload text, origin jsonb, fingerprint text
);

-- payload is hex: the bytes need not be text.
create function kc.park(msgs kc.park_msg[]) returns void language plpgsql as $$
begin
    insert into parked as old (stage, reason, field, provider, event_id, payment_id, student_id, payload, origin, fingerprint, attempts)
        select distinct on (m.fingerprint)
            m.stage, m.reason, m.field, m.provider, m.event_id, m.payment_id, m.student_id, decode(m.payload, 'hex'),
            coalesce(m.origin, '{}'), m.fingerprint, count(*) over (partition by m.fingerprint)
        from unnest(msgs) m order by m.fingerprint
        on conflict (fingerprint) where state = 'open'
        do update set attempts = old.attempts + excluded.attempts, last_at = clock_timestamp(), reason = excluded.reason;
    insert into inbox (provider, event_id, payment_id, outcome, via)
        select distinct on (m.provider, m.event_id) m.provider, m.event_id, m.payment_id, 'parked', m.stage
        from unnest(msgs) m where m.provider is not null and m.event_id is not null order by m.provider, m.event_id
        on conflict do nothing;
end $$;

create function kc.report(kind text, subject text, detail jsonb) returns void language sql as $$
    insert into finding as old (kind, subject, detail) values (kind, subject, detail)
    on conflict (kind, subject) where state = 'open' do update set last_at = clock_timestamp(), detail = excluded.detail;
$$;
