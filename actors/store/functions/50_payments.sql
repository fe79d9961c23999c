-- A batch of captured payments becomes purchases. The effect decides, never the mark: what stands in purchase is done,
-- whatever the inbox says. Each payment occurs once in a batch, and the lanes of its students are locked.

create type kc.payment_msg as (
    i integer, event_id text, provider text, payment_id text, student_id uuid, course_id uuid, tier integer, amount bigint,
    currency text, order_id text, occurred_at timestamptz, via text, parked_id bigint,
    purchase_id uuid, allocation_id uuid, created_id uuid, purchased_id uuid
);
create type kc.verdict as (i integer, outcome text, purchase_id uuid, detail text, allocate boolean);

-- The first field in which a payment differs from what stands, or null.
create function kc.difference(m kc.payment_msg, student_id uuid, course_id uuid, tier integer, amount bigint, currency text)
returns text language sql immutable return
    case when m.amount <> amount then 'amount' when m.currency <> currency then 'currency' when m.student_id <> student_id then 'student_id'
         when m.course_id <> course_id then 'course_id' when m.tier <> tier then 'tier' end;

-- Whether a mark says that a payment was worked off. Others left out what they pleased.
create function kc.promises_purchase(type text, outcome text) returns boolean language sql immutable return
    coalesce(type, 'PAYMENT_SUCCEEDED') = 'PAYMENT_SUCCEEDED' and coalesce(outcome, '') not in ('parked', 'conflict', 'ignored', 'pending');

-- What a payment may have been before it was captured for somebody, least first; forward only. `expected`: something about it
-- came first. `unnamed`: captured, and nothing said yet who bought what.
create function kc.payment_rank(state text) returns integer language sql immutable strict
return array_position(array['expected', 'created', 'failed', 'authorized', 'returned', 'partial', 'unnamed', 'captured'], state);

-- places: trainers that lose an allocation by this; the caller frees them when all other rows are locked.
create function kc.take_payments(msgs kc.payment_msg[], at timestamptz, inout places uuid[], out verdicts kc.verdict[])
language plpgsql as $$
declare
    more kc.verdict[];
    refused uuid[] := '{}';     -- purchases that must not be: unknown course, or other facts than those that stand
    seen uuid[];                -- a row of the payment stood before
    facts_stood uuid[];
    known uuid[];               -- when we came there was such a row, and it said that it was captured and for whom
    marked uuid[];              -- somebody marked it as processed before
    born uuid[];
    half_done uuid[];
    early uuid[];               -- purchases that something waited for: refunds, disputes
    gone uuid[] := '{}';        -- of these, those without any claim to access
    drafts kc.event_draft[];
    inserted integer;
begin
    verdicts := '{}';
    select array_agg(row(m.i, 'parked', null, 'course_id: unknown course ' || m.course_id, false)::kc.verdict), array_agg(m.purchase_id)
        into more, refused from unnest(msgs) m where not exists (select from course c where c.course_id = m.course_id);
    verdicts := verdicts || coalesce(more, '{}');
    refused := coalesce(refused, '{}');

    -- two joins, not one condition with "or": that becomes a scan of the whole inbox
    select coalesce(array_agg(k.purchase_id), '{}') into marked from (
        select m.purchase_id from unnest(msgs) m join inbox b on b.provider = m.provider and b.payment_id = m.payment_id
            where kc.promises_purchase(b.type, b.outcome)
        union all
        select m.purchase_id from unnest(msgs) m join inbox b on b.provider = m.provider and b.event_id = m.event_id
            where kc.promises_purchase(b.type, b.outcome)
    ) k;

    -- Again when somebody else brought one of these payments since we looked.
    loop
        select coalesce(array_agg(m.purchase_id), '{}'),
                coalesce(array_agg(m.purchase_id) filter (where p.student_id is not null and coalesce(kc.payment_rank(p.state), 9) >= kc.payment_rank('captured')), '{}')
            into seen, facts_stood from unnest(msgs) m join payment p using (provider, payment_id);
        known := coalesce(known, facts_stood);
        if cardinality(seen) > 0 then
            select array_agg(row(m.i, 'conflict', null, d.field, false)::kc.verdict), array_agg(m.purchase_id) into more, born
                from unnest(msgs) m join payment p using (provider, payment_id)
                cross join lateral kc.difference(m, p.student_id, p.course_id, p.tier, p.amount, p.currency) as d (field)
                -- the amount of one that was not named is a part of what its order's event now names
                where d.field is not null and p.state <> 'unnamed' and m.purchase_id <> all (refused);
            verdicts := verdicts || coalesce(more, '{}');
            refused := refused || coalesce(born, '{}');
            -- forward only: an attempt that was seen before, or facts that another left out
            update payment p set state = 'captured', student_id = m.student_id, course_id = m.course_id, tier = m.tier, amount = m.amount,
                    currency = m.currency, order_id = coalesce(p.order_id, m.order_id), captured_at = coalesce(p.captured_at, m.occurred_at), updated_at = at
                from unnest(msgs) m where p.provider = m.provider and p.payment_id = m.payment_id and m.purchase_id <> all (refused)
                    and (kc.payment_rank(p.state) < kc.payment_rank('captured') or p.student_id is null or p.course_id is null or p.tier is null
                        or p.amount is null or p.currency is null);
        end if;

        insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, order_id, captured_at, updated_at)
            select m.provider, m.payment_id, 'captured', m.student_id, m.course_id, m.tier, m.amount, m.currency, m.order_id, m.occurred_at, at
            from unnest(msgs) m where m.purchase_id <> all (refused) and m.purchase_id <> all (seen) order by m.provider, m.payment_id
            on conflict do nothing;
        get diagnostics inserted = row_count;
        exit when inserted = (select count(*) from unnest(msgs) m where m.purchase_id <> all (refused) and m.purchase_id <> all (seen));
    end loop;

    with inserted as (
        insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, created_at)
            select m.purchase_id, m.provider, m.payment_id, m.student_id, m.course_id, m.tier, m.amount, m.currency, at
            from unnest(msgs) m where m.purchase_id <> all (refused) order by m.provider, m.payment_id
            on conflict do nothing
            returning purchase_id
    ) select coalesce(array_agg(purchase_id), '{}') into born from inserted;

    -- Not born: it stands. This has to be a statement of its own, since the one above may have waited for the other's commit
    -- and still reads the past.
    half_done := '{}';
    if cardinality(born) + cardinality(refused) < cardinality(msgs) then
        select array_agg(row(m.i, case when d.field is not null then 'conflict' when h.half then 'recovered' else 'exists' end, p.purchase_id,
                d.field, d.field is null and (h.half or a.status = 'requested'))::kc.verdict),
            coalesce(array_agg(p.purchase_id) filter (where d.field is null and h.half), '{}')
            into more, half_done
            from unnest(msgs) m join purchase p using (provider, payment_id)
            left join allocation a on a.purchase_id = p.purchase_id
            cross join lateral kc.difference(m, p.student_id, p.course_id, p.tier, p.amount, p.currency) as d (field)
            left join lateral (select true as told from event e
                where e.purchase_id = p.purchase_id and e.type = 'PURCHASE_CREATED' limit 1) created on true
            left join lateral (select true as told from event e
                where e.purchase_id = p.purchase_id and e.type = 'COURSE_ACCESS_GRANTED' limit 1) granted on true
            cross join lateral (select (a.allocation_id is null and p.status in ('paid', 'partly_refunded', 'on_hold'))
                -- what retention took from the log was told
                or (p.created_at >= (select events_since from service)
                    and (created.told is null or (a.status = 'allocated' and granted.told is null)))) as h (half)
            where m.purchase_id <> all (refused) and m.purchase_id <> all (born);
        verdicts := verdicts || coalesce(more, '{}');
    end if;

    select coalesce(array_agg(distinct e.purchase_id), '{}') into early from (
        select m.purchase_id from unnest(msgs) m join refund r using (provider, payment_id) where r.status = 'pending'
        union all
        select m.purchase_id from unnest(msgs) m join dispute d using (provider, payment_id)
    ) e where e.purchase_id = any (born || half_done);
    if cardinality(early) > 0 then
        gone := array(select p.purchase_id from purchase p where p.purchase_id = any (early) and kc.is_taken_back(p));
    end if;

    insert into allocation (allocation_id, purchase_id, student_id, course_id, requested_at)
        select m.allocation_id, p.purchase_id, p.student_id, p.course_id, at
        from unnest(msgs) m join purchase p using (provider, payment_id)
        where p.purchase_id = any (born || half_done) and p.purchase_id <> all (gone) and p.status in ('paid', 'partly_refunded', 'on_hold')
        order by m.provider, m.payment_id
        on conflict do nothing;

    if cardinality(born) > 0 then
        -- COURSE_PURCHASED says that the student did not own the course; of two purchases in one batch the first says it.
        select array_agg(d.draft order by (d.draft).ord) into drafts from (
            select row(m.i * 10 + 1, m.created_id, m.student_id, 'PURCHASE_CREATED', m.purchase_id, '1', m.payment_id,
                    jsonb_build_object('purchase_id', m.purchase_id, 'payment_id', m.payment_id, 'course_id', m.course_id, 'tier', m.tier,
                        'amount', m.amount, 'currency', m.currency))::kc.event_draft as draft
                from unnest(msgs) m where m.purchase_id = any (born)
            union all
            select row(m.i * 10 + 2, m.purchased_id, m.student_id, 'COURSE_PURCHASED', m.purchase_id, '1', m.payment_id,
                    jsonb_build_object('purchase_id', m.purchase_id, 'course_id', m.course_id, 'course_title', m.title, 'tier', m.tier))::kc.event_draft
                from (
                    select m.*, c.title, row_number() over (partition by m.student_id, m.course_id order by m.i) as nth
                    from unnest(msgs) m join course c using (course_id) join allocation a using (purchase_id)
                    where m.purchase_id = any (born)
                ) m where m.nth = 1 and not exists (
                    select from purchase o where o.student_id = m.student_id and o.course_id = m.course_id and o.purchase_id <> all (born)
                        and o.status in ('paid', 'partly_refunded', 'on_hold'))
        ) d;
        perform kc.append_events(drafts, at);
        select array_agg(row(m.i, case when m.purchase_id = any (marked) or m.purchase_id = any (known) then 'recovered' else 'created' end,
                m.purchase_id, null, exists (select from allocation a where a.purchase_id = m.purchase_id))::kc.verdict)
            into more from unnest(msgs) m where m.purchase_id = any (born);
        verdicts := verdicts || more;
    end if;
    if cardinality(half_done) > 0 then
        perform kc.append_events(kc.missing_events(half_done), at);
    end if;
    for settled in 1 .. cardinality(early) loop
        places := places || kc.settle_early(early[settled], at);
    end loop;

    insert into inbox as old (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (m.provider, m.event_id) m.provider, m.event_id, m.payment_id, v.outcome, 'PAYMENT_SUCCEEDED', m.via, at
        from unnest(msgs) m join unnest(verdicts) v using (i) order by m.provider, m.event_id
        on conflict (provider, event_id) do update set outcome = excluded.outcome, type = excluded.type
            where excluded.outcome = 'recovered' or old.outcome in ('parked', 'conflict');

    if exists (select from unnest(verdicts) v where v.outcome in ('parked', 'conflict')) then
        perform kc.park(array_agg(row('payment', v.outcome, v.detail, m.provider, m.event_id, m.payment_id, m.student_id,
                encode(convert_to(kc.payment_text(m), 'UTF8'), 'hex'), jsonb_build_object('via', m.via),
                'payment:' || v.outcome || ':' || m.provider || ':' || m.payment_id || ':' || md5(kc.payment_facts(m)))::kc.park_msg))
            from unnest(msgs) m join unnest(verdicts) v using (i) where v.outcome in ('parked', 'conflict')
            having count(*) > 0;
        perform kc.report('conflict', m.provider || ':' || m.payment_id, jsonb_build_object('field', v.detail, 'event_id', m.event_id))
            from unnest(msgs) m join unnest(verdicts) v using (i) where v.outcome = 'conflict';
    end if;
    if exists (select from unnest(msgs) m where m.parked_id is not null) then
        update parked set state = 'resolved', resolution = v.outcome, last_at = at
            from unnest(msgs) m join unnest(verdicts) v using (i)
            where m.parked_id is not null and parked.id = m.parked_id and parked.state = 'open' and v.outcome not in ('parked', 'conflict');
    end if;
    perform kc.name_captures(m.provider, m.payment_id, m.order_id, m.amount, v.outcome, at)
        from unnest(msgs) m join unnest(verdicts) v using (i)
        left join lateral (select true as some from payment p
            where p.provider = m.provider and p.order_id = m.order_id and p.state = 'unnamed' limit 1) mates on true
        where (m.purchase_id = any (seen) or mates.some) and v.outcome not in ('parked', 'conflict');
end $$;

-- The event as the contract writes it, for the parked row: a retry decodes it like a fresh delivery.
create function kc.payment_text(m kc.payment_msg) returns text language sql stable return
    jsonb_strip_nulls(jsonb_build_object('event_id', m.event_id, 'type', 'PAYMENT_SUCCEEDED', 'provider', m.provider, 'payment_id', m.payment_id,
        'student_id', m.student_id, 'course_id', m.course_id, 'tier', m.tier, 'amount', m.amount, 'currency', m.currency,
        'order_id', m.order_id, 'occurred_at', to_char(m.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text;

create function kc.payment_facts(m kc.payment_msg) returns text language sql immutable return
    m.student_id || ':' || m.course_id || ':' || m.tier || ':' || m.amount || ':' || m.currency;
