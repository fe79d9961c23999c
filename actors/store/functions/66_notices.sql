-- What a provider tells and nothing follows from: it is kept as a mark, and a payment's state goes forward by it. No purchase.

-- state: what the payment has come to, or null. failed_refund_id: a refund that the provider could not carry out after all.
create type kc.notice_msg as (
    i integer, event_id text, provider text, name text, payment_id text, student_id uuid, state text, failed_refund_id text,
    via text, parked_id bigint
);

create function kc.take_notices(msgs kc.notice_msg[], at timestamptz) returns kc.verdict[] language plpgsql as $$
declare
    verdicts kc.verdict[];
begin
    insert into payment as old (provider, payment_id, state, updated_at)
        select m.provider, m.payment_id, m.state, at from unnest(msgs) m where m.payment_id is not null and m.state is not null
            order by m.provider, m.payment_id
        on conflict (provider, payment_id) do update set state = excluded.state, updated_at = at
            where kc.payment_rank(excluded.state) > kc.payment_rank(old.state);
    -- Money that we took for given back, by its own row or inside a running total, and was not: only a person can say what is
    -- owed now.
    select array_agg(row(m.i, case when r.some then 'conflict' else 'ignored' end, null, case when r.some then 'failed_refund_id' end, false)::kc.verdict)
        into verdicts from unnest(msgs) m
        left join lateral (select true as some from refund x where x.provider = m.provider and x.payment_id = m.payment_id
            and m.failed_refund_id is not null and (x.refund_id = m.failed_refund_id or x.upto is not null) limit 1) r on true;
    insert into inbox (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (m.provider, m.event_id) m.provider, m.event_id, m.payment_id, v.outcome, m.name, m.via, at
        from unnest(msgs) m join unnest(verdicts) v using (i) order by m.provider, m.event_id
        on conflict do nothing;
    perform kc.park(array_agg(row('refund', v.outcome, v.detail, m.provider, m.event_id, m.payment_id, m.student_id,
            encode(convert_to(kc.notice_text(m), 'UTF8'), 'hex'), jsonb_build_object('via', m.via),
            'refund:failed:' || m.provider || ':' || m.failed_refund_id)::kc.park_msg))
        from unnest(msgs) m join unnest(verdicts) v using (i) where v.outcome = 'conflict' having count(*) > 0;
    perform kc.report('conflict', m.provider || ':' || m.failed_refund_id, jsonb_build_object('field', 'failed_refund_id', 'payment_id', m.payment_id))
        from unnest(msgs) m join unnest(verdicts) v using (i) where v.outcome = 'conflict';
    update parked set state = 'resolved', resolution = v.outcome, last_at = at
        from unnest(msgs) m join unnest(verdicts) v using (i)
        where m.parked_id is not null and parked.id = m.parked_id and parked.state = 'open' and v.outcome <> 'conflict';
    return verdicts;
end $$;

-- The event as its decoder reads it, for the parked row.
create function kc.notice_text(m kc.notice_msg) returns text language sql stable return
    jsonb_strip_nulls(jsonb_build_object('event_id', m.event_id, 'type', 'PAYMENT_NOTICED', 'provider', m.provider, 'payment_id', m.payment_id,
        'name', m.name, 'student_id', m.student_id, 'state', m.state, 'failed_refund_id', m.failed_refund_id))::text;
