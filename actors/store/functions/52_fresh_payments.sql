-- The common case in one statement: payments of which nothing was ever seen. What a statement costs to begin is more than what it
-- costs to write one payment, so a batch of fresh ones takes two statements instead of some twenty.

-- Fresh: the course is known and there is no payment, purchase, mark, event, refund, dispute or parked row of it, nor a capture of
-- its order that waits for a name. Everything else goes through `take_payments`.
create function kc.sort_payments(msgs kc.payment_msg[], out fresh kc.payment_msg[], out others kc.payment_msg[]) language sql stable
    set enable_hashjoin = off set enable_mergejoin = off as $$
    select coalesce(array_agg(s.m) filter (where s.is_fresh), '{}'), coalesce(array_agg(s.m) filter (where not s.is_fresh), '{}')
    from (
        select m, c.course_id is not null and m.parked_id is null and p.payment_id is null and b.payment_id is null and e.event_id is null
            and i.some is null and t.some is null and r.some is null and d.some is null and u.some is null as is_fresh
        from unnest(msgs) m
        left join course c on c.course_id = m.course_id
        left join payment p on p.provider = m.provider and p.payment_id = m.payment_id
        left join purchase b on b.provider = m.provider and b.payment_id = m.payment_id
        left join inbox e on e.provider = m.provider and e.event_id = m.event_id
        left join lateral (select true as some from inbox x where x.provider = m.provider and x.payment_id = m.payment_id limit 1) i on true
        left join lateral (select true as some from event x where x.purchase_id = m.purchase_id limit 1) t on true
        left join lateral (select true as some from refund x where x.provider = m.provider and x.payment_id = m.payment_id limit 1) r on true
        left join lateral (select true as some from dispute x where x.provider = m.provider and x.payment_id = m.payment_id limit 1) d on true
        left join lateral (select true as some from payment x
            where x.provider = m.provider and x.order_id = m.order_id and x.state = 'unnamed' limit 1) u on true
    ) s;
$$;

-- Writes fresh payments with everything that follows. The lanes are locked, and nothing here was to be seen after that; whoever
-- brought one of them meanwhile (under another student, past the lanes) makes this a lost race, and the batch comes again. So
-- nothing asks for conflicts before it writes, but for marks, which two payments may share: asking was a tenth of the whole.
-- One order for all, lest two that bring the same wait for each other.
-- logged: as `kc.logged_since` gives it.
create function kc.take_fresh(msgs kc.payment_msg[], lanes lane[], at timestamptz, out verdicts kc.verdict[], out logged json)
language plpgsql set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    broken text;
begin
    begin
        with m as materialized (
            select * from unnest(msgs) order by provider, payment_id
        ), paid as (
            insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, order_id, captured_at, updated_at)
                select provider, payment_id, 'captured', student_id, course_id, tier, amount, currency, order_id, occurred_at, at
                from m returning 1
        ), bought as (
            insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, created_at)
                select purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, at from m
        ), requested as (
            insert into allocation (allocation_id, purchase_id, student_id, course_id, requested_at)
                select allocation_id, purchase_id, student_id, course_id, at from m
        ), marked as (
            insert into inbox (provider, event_id, payment_id, outcome, type, via, received_at)
                select provider, event_id, payment_id, 'created', 'PAYMENT_SUCCEEDED', via, at from m order by provider, event_id
                on conflict do nothing
        ), draft as (
            select student_id, -1 as ord, seq as base, null::uuid as event_id, null::text as type, null::uuid as purchase_id, null::text as payment_id, null::jsonb as data
                from unnest(lanes)
            union all
            select student_id, i * 10 + 1, null, created_id, 'PURCHASE_CREATED', purchase_id, payment_id,
                    jsonb_build_object('purchase_id', purchase_id, 'payment_id', payment_id, 'course_id', course_id, 'tier', tier,
                        'amount', amount, 'currency', currency)
                from m
            union all
            -- it says that the student did not own the course; of two purchases in one batch the first says it
            select student_id, i * 10 + 2, null, purchased_id, 'COURSE_PURCHASED', purchase_id, payment_id,
                    jsonb_build_object('purchase_id', purchase_id, 'course_id', course_id, 'course_title', title, 'tier', tier)
                from (
                    select m.*, c.title, row_number() over (partition by m.student_id, m.course_id order by m.i) as nth
                    from m join course c using (course_id)
                ) first
                where nth = 1 and not exists (
                    select from purchase o where o.student_id = first.student_id and o.course_id = first.course_id
                        and o.status in ('paid', 'partly_refunded', 'on_hold'))
        ), numbered as materialized (
            -- a lane's own row leads its drafts and brings the number to count from
            select * from (
                select d.*, first_value(base) over lane_order + row_number() over lane_order - 1 as seq
                from draft d window lane_order as (partition by student_id order by ord)
            ) n where ord > 0
        ), bumped as (
            update lane set seq = n.seq from (select student_id, max(seq) as seq from numbered group by student_id) n
                where lane.student_id = n.student_id
        ), told as (
            insert into event (event_id, student_id, seq, type, purchase_id, turn, correlation_id, data, created_at)
                select event_id, student_id, seq, type, purchase_id, '1', payment_id, data, at from numbered
        ), queued as (
            insert into outbox (shard, event_id, student_id, seq, created_at)
                select kc.shard(student_id), event_id, student_id, seq, at from numbered order by student_id, seq
        )
        -- payments before all else: who brings the same one waits there, and holds nothing yet that we might wait for
        select (select array_agg(row(i, 'created', purchase_id, null, true)::kc.verdict) from m where (select count(*) from paid) > 0),
                (select json_agg(json_build_array(event_id, student_id, seq, type, purchase_id, payment_id, data, at) order by student_id, seq) from numbered)
            into verdicts, logged;
    exception when unique_violation then
        get stacked diagnostics broken = constraint_name;
        -- a lane whose number somebody has set back is no race
        if broken = 'event_student_id_seq_key' then
            raise;
        end if;
        raise exception 'a payment of this batch was brought by somebody else meanwhile: %', broken using errcode = 'serialization_failure';
    end;
end $$;
