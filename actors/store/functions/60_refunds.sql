-- Money back: by refund id, as the sum of what was applied, never as a running difference. A refund that comes before its
-- payment is kept; the purchase is then born with it.
--
-- A provider may report refunds one by one, as a running total, or both, in any order. Rows that are applied or pending
-- always add up to what is known to be back: a total writes a row for what was not known yet, and a refund that such a
-- total had in it already is `counted` there.

-- total: amount is all that the payment has given back so far, and there is no refund_id. student_id may be unknown.
create type kc.refund_msg as (
    i integer, event_id text, provider text, refund_id text, payment_id text, student_id uuid, amount bigint, currency text, total boolean,
    occurred_at timestamptz, via text, parked_id bigint
);

create function kc.upto_id(payment_id text, upto bigint) returns text language sql immutable return 'upto:' || payment_id || ':' || upto;

-- Applies one refund row to a purchase that stands, and returns the trainer whose place it freed, if any. The lane is locked;
-- the trainer's row is the caller's to lock, after everything else.
create function kc.apply_refund(p purchase, which text, at timestamptz) returns uuid language plpgsql as $$
declare
    total bigint;
    drafts kc.event_draft[];
    released record;
    place uuid;
begin
    -- not `at`: of several in one transaction the order must stay known
    update refund set status = 'applied', applied_at = clock_timestamp(), student_id = p.student_id
        where provider = p.provider and refund_id = which;
    select sum(amount) into total from refund where provider = p.provider and payment_id = p.payment_id and status = 'applied';
    update purchase set refunded = total, status = kc.standing(p.provider, p.payment_id, p.amount, total) where purchase_id = p.purchase_id;
    drafts := array[row(1, kc.event_id(p.purchase_id, 'PURCHASE_REFUNDED', which), p.student_id, 'PURCHASE_REFUNDED', p.purchase_id, which,
        p.payment_id, jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id, 'refunded', total,
            'status', case when total = p.amount then 'refunded' else 'partly_refunded' end))::kc.event_draft];
    if total = p.amount then
        select * into released from kc.release(p, 2);
        place := released.place;
        if place is not null then
            drafts := drafts || released.draft;
        end if;
    end if;
    perform kc.append_events(drafts, at);
    return place;
end $$;

-- Whether what waited for this payment leaves it no claim to access: a lost dispute, or refunds of all of it.
create function kc.is_taken_back(p purchase) returns boolean language plpgsql stable as $$
declare
    back bigint := p.refunded;
    part bigint;
begin
    if kc.standing(p.provider, p.payment_id, p.amount, 0) = 'revoked' then
        return true;
    end if;
    for part in select amount from refund where provider = p.provider and payment_id = p.payment_id and status = 'pending'
            and currency = p.currency and coalesce(student_id, p.student_id) = p.student_id order by created_at, refund_id loop
        back := back + case when back + part <= p.amount then part else 0 end;
    end loop;
    return back = p.amount and back > 0;
end $$;

-- Brings what waited for this payment to its purchase; refunds that do not fit are parked like any other conflict. Returns the
-- trainers whose places it freed.
create function kc.settle_early(which uuid, at timestamptz) returns uuid[] language plpgsql as $$
declare
    r refund;
    p purchase;
    places uuid[] := '{}';
begin
    select * into p from purchase where purchase_id = which;
    for r in select * from refund where provider = p.provider and payment_id = p.payment_id and status = 'pending' order by created_at, refund_id loop
        select * into p from purchase where purchase_id = which;
        if coalesce(r.student_id, p.student_id) = p.student_id and r.currency = p.currency and p.refunded + r.amount <= p.amount then
            places := places || kc.apply_refund(p, r.refund_id, at);
        else
            delete from refund where provider = r.provider and refund_id = r.refund_id;
            perform kc.park_refunds(array[row(0, 'refund:' || r.refund_id, r.provider, case when r.upto is null then r.refund_id end, r.payment_id,
                r.student_id, coalesce(r.upto, r.amount), r.currency, r.upto is not null, coalesce(r.occurred_at, at), null, null)::kc.refund_msg],
                array[row(0, 'conflict', which, 'does not fit the payment that it waited for', false)::kc.verdict]);
        end if;
    end loop;
    places := places || kc.apply_disputes(which, at);
    return array_remove(places, null);
end $$;

create function kc.take_refunds(msgs kc.refund_msg[], at timestamptz, inout places uuid[], out verdicts kc.verdict[]) language plpgsql as $$
declare
    m kc.refund_msg;
    p purchase;
    r refund;
    which text;
    counted bigint;
    due bigint;
    outcome text;
    field text;
begin
    verdicts := '{}';
    for m in select x.* from unnest(msgs) x order by x.provider, x.payment_id loop
        outcome := null; field := null;
        which := case when m.total then kc.upto_id(m.payment_id, m.amount) else m.refund_id end;
        select * into p from purchase where provider = m.provider and payment_id = m.payment_id;
        if p.purchase_id is null then
            perform kc.expect_payment(m.provider, m.payment_id);
        elsif m.student_id is null then
            raise serialization_failure using message = 'the purchase came in after its lane was looked for';
        end if;
        select * into r from refund where provider = m.provider and refund_id = which;
        if found and not m.total then
            field := case when r.payment_id <> m.payment_id then 'payment_id' when r.amount <> m.amount then 'amount'
                when r.currency <> m.currency then 'currency' when r.student_id <> m.student_id then 'student_id' end;
        end if;
        if r.refund_id is not null then
            -- The refund that this id names stands, and its sum is not overwritten. That the sum was told otherwise is for a person.
            outcome := case when field in ('amount', 'currency') then 'exists' when field is not null then 'conflict'
                when r.status <> 'pending' or p.purchase_id is null then 'exists' end;
            due := r.amount;
            counted := coalesce(p.refunded, 0);
        else
            select coalesce(sum(amount) filter (where status in ('applied', 'pending')), 0),
                    case when m.total then m.amount - coalesce(sum(amount) filter (where status in ('applied', 'pending')), 0)
                    else least(m.amount, m.amount + coalesce(sum(amount) filter (where upto is null), 0)
                        - coalesce(sum(amount) filter (where status in ('applied', 'pending')), 0)) end
                into counted, due
                from refund where provider = m.provider and payment_id = m.payment_id;
            due := greatest(due, 0);
            if m.total and due = 0 then
                outcome := 'exists';
            end if;
        end if;
        if outcome is null and p.purchase_id is not null then
            field := case when p.student_id <> m.student_id then 'student_id' when p.currency <> m.currency then 'currency'
                when counted + due > p.amount then 'amount' end;
            outcome := case when field is not null then 'conflict' end;
        end if;
        if outcome is null then
            if r.refund_id is null and not m.total and due < m.amount then
                insert into refund (provider, refund_id, payment_id, student_id, amount, currency, status, occurred_at, created_at)
                    values (m.provider, m.refund_id, m.payment_id, m.student_id, m.amount, m.currency, 'counted', m.occurred_at, clock_timestamp());
                which := kc.upto_id(m.payment_id, counted + due);
            end if;
            if r.refund_id is null and due > 0 then
                insert into refund (provider, refund_id, payment_id, student_id, amount, currency, status, occurred_at, created_at, upto)
                    values (m.provider, which, m.payment_id, m.student_id, due, m.currency, 'pending', m.occurred_at, clock_timestamp(),
                        case when m.total or due < m.amount then counted + due end);
            end if;
            outcome := case when p.purchase_id is null then 'pending' when due = 0 then 'exists' else 'refunded' end;
            if outcome = 'refunded' then
                places := array_remove(places || kc.apply_refund(p, which, at), null);
            end if;
        elsif outcome = 'conflict' and r.status = 'pending' and p.purchase_id is not null then
            -- it waited, and does not fit: the parked row keeps it
            delete from refund where provider = m.provider and refund_id = which;
        end if;
        verdicts := verdicts || row(m.i, outcome, p.purchase_id, field, false)::kc.verdict;
    end loop;

    insert into inbox as old (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (x.provider, x.event_id) x.provider, x.event_id, x.payment_id, v.outcome, 'PAYMENT_REFUNDED', x.via, at
        from unnest(msgs) x join unnest(verdicts) v using (i) order by x.provider, x.event_id
        on conflict do nothing;
    perform kc.park_refunds(msgs, verdicts);
    update parked set state = 'resolved', resolution = v.outcome, last_at = at
        from unnest(msgs) x join unnest(verdicts) v using (i)
        where x.parked_id is not null and parked.id = x.parked_id and parked.state = 'open' and v.outcome <> 'conflict' and v.detail is null;
end $$;

-- Keeps and reports those that are in conflict with what stands, and refunds that are known with another sum.
create function kc.park_refunds(msgs kc.refund_msg[], verdicts kc.verdict[]) returns void language plpgsql as $$
begin
    perform kc.park(array_agg(row('refund', 'conflict', v.detail, m.provider, m.event_id, m.payment_id, m.student_id,
            encode(convert_to(kc.refund_text(m), 'UTF8'), 'hex'), jsonb_build_object('via', m.via),
            'refund:conflict:' || m.provider || ':' || coalesce(m.refund_id, 'upto') || ':' || m.amount || ':' || m.payment_id)::kc.park_msg))
        from unnest(msgs) m join unnest(verdicts) v using (i) where (v.outcome = 'conflict' or v.detail is not null) having count(*) > 0;
    perform kc.report('conflict', m.provider || ':' || coalesce(m.refund_id, kc.upto_id(m.payment_id, m.amount)),
            jsonb_build_object('field', v.detail, 'payment_id', m.payment_id))
        from unnest(msgs) m join unnest(verdicts) v using (i) where (v.outcome = 'conflict' or v.detail is not null);
end $$;

-- The event as its decoder reads it, for the parked row.
create function kc.refund_text(m kc.refund_msg) returns text language sql stable return
    jsonb_strip_nulls(jsonb_build_object('event_id', m.event_id, 'type', case when m.total or m.student_id is null then 'REFUND_REPORTED' else 'PAYMENT_REFUNDED' end,
        'provider', m.provider, 'payment_id', m.payment_id, 'refund_id', m.refund_id, 'student_id', m.student_id, 'amount', m.amount,
        'currency', m.currency, 'occurred_at', to_char(m.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text;
