-- Money back: by refund id, as the sum of what was applied, never as a running difference. A refund that comes before its
-- payment is kept; the purchase is then born with it.

create type kc.refund_msg as (
    i integer, event_id text, provider text, refund_id text, payment_id text, student_id uuid, amount bigint, currency text,
    occurred_at timestamptz, via text, parked_id bigint
);

-- Applies one refund row to a purchase that stands, and returns the trainer whose place it freed, if any. The lane is locked;
-- the trainer's row is the caller's to lock, after everything else.
create function kc.apply_refund(p purchase, which text, at timestamptz) returns uuid language plpgsql as $$
declare
    a allocation;
    total bigint;
    now_is text;
    drafts kc.event_draft[];
begin
    update refund set status = 'applied', applied_at = at where provider = p.provider and refund_id = which;
    select sum(amount) into total from refund where provider = p.provider and payment_id = p.payment_id and status = 'applied';
    now_is := case when p.status in ('on_hold', 'revoked') then p.status when total = p.amount then 'refunded' else 'partly_refunded' end;
    update purchase set refunded = total, status = now_is where purchase_id = p.purchase_id;
    drafts := array[row(1, kc.event_id(p.purchase_id, 'PURCHASE_REFUNDED', which), p.student_id, 'PURCHASE_REFUNDED', p.purchase_id, which,
        p.payment_id, jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id, 'refunded', total, 'status', now_is))::kc.event_draft];
    if total = p.amount then
        select * into a from allocation where purchase_id = p.purchase_id;
        if a.status = 'allocated' then
            drafts := drafts || row(2, kc.event_id(p.purchase_id, 'COURSE_ACCESS_REVOKED', (a.turn + 1)::text), p.student_id,
                'COURSE_ACCESS_REVOKED', p.purchase_id, (a.turn + 1)::text, p.payment_id,
                jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id))::kc.event_draft;
            update allocation set status = 'released', turn = turn + 1 where allocation_id = a.allocation_id;
        elsif a.status in ('requested', 'waitlisted') then
            update allocation set status = 'released', trainer_id = null where allocation_id = a.allocation_id;
        end if;
    end if;
    perform kc.append_events(drafts, at);
    return case when total = p.amount and a.status = 'allocated' then a.trainer_id end;
end $$;

-- Refunds that waited for this payment; those that do not fit it are parked like any other conflict.
create function kc.apply_waiting_refunds(of_provider text, of_payment text, at timestamptz) returns void language plpgsql as $$
declare
    r refund;
    p purchase;
begin
    for r in select * from refund where provider = of_provider and payment_id = of_payment and status = 'pending' order by created_at, refund_id loop
        select * into p from purchase where provider = of_provider and payment_id = of_payment;
        if r.student_id = p.student_id and r.currency = p.currency and p.refunded + r.amount <= p.amount then
            perform kc.apply_refund(p, r.refund_id, at);
        else
            delete from refund where provider = r.provider and refund_id = r.refund_id;
            perform kc.park(array[row('refund', 'conflict', 'does not fit the payment that it waited for', r.provider, null, r.payment_id, r.student_id,
                encode(convert_to(jsonb_build_object('event_id', 'refund:' || r.refund_id, 'type', 'PAYMENT_REFUNDED', 'provider', r.provider,
                    'payment_id', r.payment_id, 'refund_id', r.refund_id, 'student_id', r.student_id, 'amount', r.amount, 'currency', r.currency,
                    'occurred_at', coalesce(r.occurred_at, at))::text, 'UTF8'), 'hex'),
                '{}', 'refund:conflict:' || r.provider || ':' || r.refund_id)::kc.park_msg]);
            perform kc.report('conflict', r.provider || ':' || r.refund_id, jsonb_build_object('refund', r.refund_id, 'payment_id', r.payment_id));
        end if;
    end loop;
end $$;

create function kc.take_refunds(msgs kc.refund_msg[], at timestamptz) returns kc.verdict[] language plpgsql as $$
declare
    m kc.refund_msg;
    p purchase;
    r refund;
    outcome text;
    field text;
    freed uuid;
    places uuid[] := '{}';
    verdicts kc.verdict[] := '{}';
begin
    foreach m in array msgs loop
        outcome := null; field := null; freed := null;
        insert into refund (provider, refund_id, payment_id, student_id, amount, currency, status, occurred_at, created_at)
            values (m.provider, m.refund_id, m.payment_id, m.student_id, m.amount, m.currency, 'pending', m.occurred_at, clock_timestamp())
            on conflict do nothing returning * into r;
        if not found then
            select * into r from refund where provider = m.provider and refund_id = m.refund_id;
            field := case when r.payment_id <> m.payment_id then 'payment_id' when r.amount <> m.amount then 'amount'
                when r.currency <> m.currency then 'currency' when r.student_id <> m.student_id then 'student_id' end;
            outcome := case when field is null then 'exists' else 'conflict' end;
        end if;
        select * into p from purchase where provider = m.provider and payment_id = m.payment_id;
        if outcome is null and p.purchase_id is null then
            outcome := 'pending';
        elsif outcome is null or (outcome = 'exists' and r.status = 'pending' and p.purchase_id is not null) then
            field := case when p.student_id <> m.student_id then 'student_id' when p.currency <> m.currency then 'currency'
                when p.refunded + m.amount > p.amount then 'amount' end;
            if field is null then
                freed := kc.apply_refund(p, m.refund_id, at);
                outcome := 'refunded';
            else
                delete from refund where provider = m.provider and refund_id = m.refund_id;
                outcome := 'conflict';
            end if;
        end if;
        if freed is not null then
            places := places || freed;
        end if;
        verdicts := verdicts || row(m.i, outcome, p.purchase_id, field, false)::kc.verdict;
    end loop;

    insert into inbox as old (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (x.provider, x.event_id) x.provider, x.event_id, x.payment_id, v.outcome, 'PAYMENT_REFUNDED', x.via, at
        from unnest(msgs) x join unnest(verdicts) v using (i) order by x.provider, x.event_id
        on conflict do nothing;
    perform kc.park(array_agg(row('refund', v.outcome, v.detail, x.provider, x.event_id, x.payment_id, x.student_id,
            encode(convert_to(jsonb_build_object('event_id', x.event_id, 'type', 'PAYMENT_REFUNDED', 'provider', x.provider, 'payment_id', x.payment_id,
                'refund_id', x.refund_id, 'student_id', x.student_id, 'amount', x.amount, 'currency', x.currency,
                'occurred_at', to_char(x.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text, 'UTF8'), 'hex'),
            jsonb_build_object('via', x.via), 'refund:conflict:' || x.provider || ':' || x.refund_id || ':' || x.amount || ':' || x.payment_id)::kc.park_msg))
        from unnest(msgs) x join unnest(verdicts) v using (i) where v.outcome = 'conflict' having count(*) > 0;
    perform kc.report('conflict', x.provider || ':' || x.refund_id, jsonb_build_object('field', v.detail, 'payment_id', x.payment_id))
        from unnest(msgs) x join unnest(verdicts) v using (i) where v.outcome = 'conflict';
    update parked set state = 'resolved', resolution = v.outcome, last_at = at
        from unnest(msgs) x join unnest(verdicts) v using (i)
        where x.parked_id is not null and parked.id = x.parked_id and parked.state = 'open' and v.outcome <> 'conflict';

    perform kc.free_places(places);
    return verdicts;
end $$;

-- Trainers are the last rows that any transaction locks, sorted by id.
create function kc.free_places(trainers uuid[]) returns void language plpgsql as $$
begin
    perform from trainer where trainer_id = any (trainers) order by trainer_id for update;
    update trainer t set load = t.load - freed.n
        from (select x as trainer_id, count(*) as n from unnest(trainers) x group by x) freed
        where t.trainer_id = freed.trainer_id;
end $$;
