-- The payer's bank takes a payment into dispute. While one is open the purchase is on hold and keeps its place; won, it is what
-- its refunds make it; lost, the money is gone: access ends and the place goes to the longest waiting.

create type kc.dispute_msg as (
    i integer, event_id text, provider text, dispute_id text, payment_id text, student_id uuid, status text, amount bigint, currency text,
    occurred_at timestamptz, via text, parked_id bigint
);

-- Brings a purchase in line with the disputes of its payment; returns the trainer whose place it freed, if any.
create function kc.apply_disputes(which uuid, at timestamptz) returns uuid language plpgsql as $$
declare
    p purchase;
    stands text;
    released record;
    place uuid;
begin
    select * into p from purchase where purchase_id = which;
    stands := kc.standing(p.provider, p.payment_id, p.amount, p.refunded);
    if stands <> p.status then
        update purchase set status = stands where purchase_id = which;
        if stands = 'revoked' then
            select * into released from kc.release(p, 1);
            place := released.place;
            if place is not null then
                perform kc.append_events(array[released.draft], at);
            end if;
        end if;
    end if;
    return place;
end $$;

create function kc.take_disputes(msgs kc.dispute_msg[], at timestamptz, inout places uuid[], out verdicts kc.verdict[]) language plpgsql as $$
declare
    m kc.dispute_msg;
    p purchase;
    d dispute;
    news boolean;
    field text;
    stages constant text[] := array['open', 'won', 'lost'];
begin
    verdicts := '{}';
    for m in select x.* from unnest(msgs) x order by x.provider, x.payment_id loop
        field := null; news := false;
        select * into p from purchase where provider = m.provider and payment_id = m.payment_id;
        if p.purchase_id is null then
            perform kc.expect_payment(m.provider, m.payment_id);
        elsif m.student_id is null then
            raise serialization_failure using message = 'the purchase came in after its lane was looked for';
        end if;
        select * into d from dispute where provider = m.provider and dispute_id = m.dispute_id for update;
        if not found then
            field := case when p.student_id <> m.student_id then 'student_id' end;
            if field is null then
                insert into dispute (provider, dispute_id, payment_id, student_id, status, amount, currency, occurred_at, created_at, updated_at)
                    values (m.provider, m.dispute_id, m.payment_id, m.student_id, m.status, m.amount, m.currency, m.occurred_at, at, at);
                news := true;
            end if;
        elsif d.payment_id <> m.payment_id then
            field := 'payment_id';
        elsif m.status = 'won' and d.status = 'lost' then
            -- nobody can tell a late message from a late change of mind
            field := 'status';
        elsif array_position(stages, m.status) > array_position(stages, d.status) then
            update dispute set status = m.status, updated_at = at where provider = m.provider and dispute_id = m.dispute_id;
            news := true;
        end if;
        if p.purchase_id is not null and field is null then
            -- also when it is no news: what stands may be half done
            places := array_remove(places || kc.apply_disputes(p.purchase_id, at), null);
        end if;
        verdicts := verdicts || row(m.i, case when field is not null then 'conflict' when p.purchase_id is null and news then 'pending' else 'exists' end,
            p.purchase_id, coalesce(field, case when news then 'dispute ' || m.status end), false)::kc.verdict;
    end loop;

    insert into inbox (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (x.provider, x.event_id) x.provider, x.event_id, x.payment_id, v.outcome, 'PAYMENT_DISPUTED', x.via, at
        from unnest(msgs) x join unnest(verdicts) v using (i) order by x.provider, x.event_id
        on conflict do nothing;
    perform kc.park(array_agg(row('dispute', v.outcome, v.detail, x.provider, x.event_id, x.payment_id, x.student_id,
            encode(convert_to(kc.dispute_text(x), 'UTF8'), 'hex'), jsonb_build_object('via', x.via),
            'dispute:conflict:' || x.provider || ':' || x.dispute_id || ':' || x.status || ':' || x.payment_id)::kc.park_msg))
        from unnest(msgs) x join unnest(verdicts) v using (i) where v.outcome = 'conflict' having count(*) > 0;
    perform kc.report('conflict', x.provider || ':' || x.dispute_id, jsonb_build_object('field', v.detail, 'payment_id', x.payment_id))
        from unnest(msgs) x join unnest(verdicts) v using (i) where v.outcome = 'conflict';
    update parked set state = 'resolved', resolution = v.outcome, last_at = at
        from unnest(msgs) x join unnest(verdicts) v using (i)
        where x.parked_id is not null and parked.id = x.parked_id and parked.state = 'open' and v.outcome <> 'conflict';
end $$;

-- The event as its decoder reads it, for the parked row.
create function kc.dispute_text(m kc.dispute_msg) returns text language sql stable return
    jsonb_strip_nulls(jsonb_build_object('event_id', m.event_id, 'type', 'PAYMENT_DISPUTED', 'provider', m.provider, 'payment_id', m.payment_id,
        'dispute_id', m.dispute_id, 'student_id', m.student_id, 'status', m.status, 'amount', m.amount, 'currency', m.currency,
        'occurred_at', to_char(m.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text;
