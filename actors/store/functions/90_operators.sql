-- What operators and the reconciler mend in the log, the outbox and the trainers' rows. Lanes first, trainers last, as everywhere.

-- Events that the state of these students' purchases calls for are logged. Where they are as many as the holes of the lane,
-- they are what was taken from there and go back to their places; otherwise they follow at the end.
-- renumber: an operator says that the lane's number is wrong where it is beyond the last event and nothing fits in between.
create function kc.tell_missing(students uuid[], renumber boolean) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    lanes lane[];
    of_lane lane;
    drafts kc.event_draft[];
    holes bigint[];
    lowest bigint;
    highest bigint;
    restored json;
    all_restored json[] := '{}';
    renumbered json[] := '{}';
    at timestamptz;
begin
    lanes := kc.lock_lanes(students);
    at := clock_timestamp();
    foreach of_lane in array lanes loop
        drafts := kc.missing_events(array(select purchase_id from purchase where student_id = of_lane.student_id));
        select min(seq), coalesce(max(seq), 0) into lowest, highest from event where student_id = of_lane.student_id;
        if (select events_since from service) = '-infinity' then
            lowest := 1;
        end if;
        holes := array(select g from generate_series(coalesce(lowest, of_lane.seq + 1), greatest(highest, of_lane.seq)) g
            where not exists (select from event e where e.student_id = of_lane.student_id and e.seq = g) order by g);
        if of_lane.seq < highest then
            update lane set seq = highest where student_id = of_lane.student_id;
            renumbered := renumbered || json_build_object('student_id', of_lane.student_id, 'from', of_lane.seq, 'to', highest);
        end if;
        if cardinality(drafts) > 0 and cardinality(drafts) = cardinality(holes) then
            with placed as (
                select d.*, holes[row_number() over (order by d.ord)] as seq from unnest(drafts) d
            ), logged as (
                insert into event (event_id, student_id, seq, type, purchase_id, turn, correlation_id, data, created_at)
                select p.event_id, p.student_id, p.seq, p.type, p.purchase_id, p.turn, p.correlation_id, p.data,
                    -- between its neighbours in time, too
                    coalesce((select min(e.created_at) from event e where e.student_id = p.student_id and e.seq > p.seq), at)
                from placed p
                returning event_id, student_id, seq, type
            ), queued as (
                insert into outbox (shard, event_id, student_id, seq, created_at)
                select kc.shard(student_id), event_id, student_id, seq, at from logged order by seq
            )
            select json_agg(json_build_object('student_id', student_id, 'seq', seq, 'type', type) order by seq) into restored from logged;
            all_restored := all_restored || restored;
        else
            if renumber and of_lane.seq > highest and (highest > 0 or lowest = 1) then
                update lane set seq = highest where student_id = of_lane.student_id;
                renumbered := renumbered || json_build_object('student_id', of_lane.student_id, 'from', of_lane.seq, 'to', highest);
            end if;
            perform kc.append_events(drafts, at);
        end if;
    end loop;
    return json_build_object(
        'restored', (select coalesce(json_agg(x), '[]') from unnest(all_restored) r, json_array_elements(r) x),
        'renumbered', to_json(renumbered),
        'events', (select coalesce(json_agg(json_build_array(e.event_id, e.student_id, e.seq, e.type, e.purchase_id, e.correlation_id, e.data,
                e.created_at) order by e.student_id, e.seq), '[]')
            from event e where e.student_id = any (students) and e.created_at >= at)
    )::text;
end $$;

-- Envelopes that stand in the log go to Kafka once more, with the same ids and numbers. Those that wait there already do not.
create function kc.resend(student uuid, first bigint) returns json language plpgsql volatile as $$
begin
    perform kc.lock_lanes(array[student]);
    insert into outbox (shard, event_id, student_id, seq)
        select kc.shard(e.student_id), e.event_id, e.student_id, e.seq from event e
        where e.student_id = student and e.seq >= first and not exists (select from outbox o where o.event_id = e.event_id)
        order by e.seq;
    return (select coalesce(json_agg(json_build_array(e.event_id, e.student_id, e.seq, e.type, e.purchase_id, e.correlation_id, e.data,
        e.created_at) order by e.seq), '[]') from event e where e.student_id = student and e.seq >= first);
end $$;

-- A trainer's load becomes the number of allocations that the trainer has.
create function kc.recount_trainers(trainers uuid[]) returns integer language plpgsql volatile as $$
declare
    changed integer;
begin
    perform from trainer where trainer_id = any (trainers) order by trainer_id for update;
    update trainer t set load = held.n
        from (select x as trainer_id, (select count(*) from allocation a where a.trainer_id = x and a.status = 'allocated') as n
            from unnest(trainers) x) held
        where t.trainer_id = held.trainer_id and t.load <> held.n;
    get diagnostics changed = row_count;
    return changed;
end $$;

-- Our own consumers of business events: the record says how far the log is, the log says what happened. Idempotent by seq.
-- Each takes {told: [{student_id, seq}], names: {purchase_id: event_id}}; names are for those that log something. A node of the
-- release before, which may run on for a while after a migration, sends the first member alone.
-- A consumer's place with a student is looked up in a subquery with a limit: joined, it was taken for the one row of a table that no
-- statistics tell of yet, and all places of the consumer were read for each batch, at three times the cost of a plan.

create type kc.seen as (student_id uuid, seq bigint);

create function kc.told(batch jsonb) returns jsonb language sql immutable return
    case jsonb_typeof(batch) when 'array' then batch else batch -> 'told' end;

create function kc.echo(batch jsonb) returns void language sql volatile as $$
    insert into consumer_lane as old (consumer, student_id, last_seq)
        -- never beyond the log: a record from before a restore tells of events that are no more
        select 'echo', s.student_id, least(max(s.seq), l.seq) from jsonb_populate_recordset(null::kc.seen, kc.told(batch)) s join lane l using (student_id)
            group by s.student_id, l.seq order by s.student_id
    on conflict (consumer, student_id) do update set last_seq = excluded.last_seq where old.last_seq < excluded.last_seq
$$;

-- How far the log of these students went on since it was asked last: [student, place known, place reached].
create function kc.pass_on(batch jsonb) returns text language sql volatile as $$
    with news as (
        select s.student_id, coalesce(max(c.last_seq), 0) as known, least(max(s.seq), l.seq) as reached
        from jsonb_populate_recordset(null::kc.seen, kc.told(batch)) s join lane l using (student_id)
        left join lateral (select last_seq from consumer_lane where consumer = 'cache' and student_id = s.student_id limit 1) c on true
        group by s.student_id, l.seq having least(max(s.seq), l.seq) > coalesce(max(c.last_seq), 0)
    ), kept as (
        insert into consumer_lane as old (consumer, student_id, last_seq)
        select 'cache', student_id, reached from news order by student_id
        on conflict (consumer, student_id) do update set last_seq = excluded.last_seq where old.last_seq < excluded.last_seq
        returning student_id
    )
    select json_build_object('epoch', (select epoch from service), 'students',
        (select coalesce(json_agg(json_build_array(student_id, known, reached) order by student_id), '[]') from news join kept using (student_id)))::text
$$;

-- The plan of sessions of a purchase whose access was granted, once, and its event in the student's lane; taken back with the access.
-- Two looks and one statement that writes everything, as for an allocation.
create function kc.plan_sessions(batch jsonb) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    lanes lane[] := '{}';
    names jsonb := batch -> 'names';
    concerned uuid[];           -- students with news of a plan
    others uuid[];              -- students with other news,
    upto bigint[];              -- and how far their log was
    at timestamptz;
    logged json;
begin
    -- Only students with news: a record that comes again costs a look. A lane that is not held may go on meanwhile: only what was
    -- there when it was looked at is known.
    select array_agg(s.student_id) filter (where t.some is null), array_agg(least(s.seq, l.seq)) filter (where t.some is null),
            array_agg(s.student_id) filter (where t.some)
        into others, upto, concerned
        from (select student_id, max(seq) as seq from jsonb_populate_recordset(null::kc.seen, kc.told(batch)) group by student_id) s
        join lane l on l.student_id = s.student_id
        left join lateral (select last_seq from consumer_lane where consumer = 'sessions' and student_id = s.student_id limit 1) c on true
        left join lateral (select true as some from event e where e.student_id = s.student_id and e.seq > coalesce(c.last_seq, 0) and e.seq <= s.seq
            and e.type in ('COURSE_ACCESS_GRANTED', 'COURSE_ACCESS_REVOKED') limit 1) t on true
        where s.seq > coalesce(c.last_seq, 0);
    if concerned is null and others is null then
        return '[]';
    end if;
    -- payments of a student wait while its lane is held, so it is held only for news that concern a plan
    if concerned is not null then
        lanes := kc.lock_lanes(concerned);
    end if;
    at := clock_timestamp();
    -- Each of these looks a row up where it needs one: joins of what the statement itself has found go row by row against row.
    with held as materialized (
        select l.student_id, l.seq, coalesce(c.last_seq, 0) as known from unnest(lanes) l
            left join lateral (select last_seq from consumer_lane where consumer = 'sessions' and student_id = l.student_id limit 1) c on true
    ), news as materialized (
        -- The log of a held lane is read to its end, past what Kafka has brought by now: what comes of it later, the events written
        -- here among it, is known then.
        select e.purchase_id, (array_agg(e.type order by e.seq desc))[1] as type
        from held l join event e on e.student_id = l.student_id and e.seq > l.known and e.seq <= l.seq
        where e.type in ('COURSE_ACCESS_GRANTED', 'COURSE_ACCESS_REVOKED') group by e.purchase_id
    ), changed as (
        update session_plan o set status = case n.type when 'COURSE_ACCESS_GRANTED' then 'planned' else 'cancelled' end
        from news n where n.purchase_id = o.purchase_id
            and o.status <> case n.type when 'COURSE_ACCESS_GRANTED' then 'planned' else 'cancelled' end
    ), born as (
        insert into session_plan (purchase_id, student_id, course_id, sessions_total, planned_at)
        select p.purchase_id, p.student_id, p.course_id, p.tier, at
        from news n join purchase p using (purchase_id) where n.type = 'COURSE_ACCESS_GRANTED' order by p.purchase_id
        on conflict do nothing
        returning purchase_id
    ), counted as materialized (
        -- a lane's own row leads its drafts and brings the number to count from
        select d.*, first_value(base) over lane_order + row_number() over lane_order - 1 as seq
        from (
            select student_id, null::timestamptz as created_at, seq as base, null::uuid as purchase_id, null::text as payment_id, null::jsonb as data
                from held
            union all
            select p.student_id, p.created_at, null, p.purchase_id, p.payment_id,
                    jsonb_build_object('purchase_id', p.purchase_id, 'sessions_total', p.tier)
                from born b join purchase p using (purchase_id)
                left join lateral (select true as told from event x where x.purchase_id = b.purchase_id and x.type = 'SESSIONS_PLANNED' limit 1) known on true
                where known.told is null
        ) d window lane_order as (partition by student_id order by created_at nulls first, purchase_id)
    ), numbered as materialized (
        -- a name costs as much as the rest of a plan: most come with the batch
        select student_id, seq, purchase_id, payment_id, data,
            coalesce((names ->> purchase_id::text)::uuid, kc.event_id(purchase_id, 'SESSIONS_PLANNED', '1')) as event_id
        from counted where purchase_id is not null
    ), heads as materialized (
        select student_id, max(seq) as seq from counted group by student_id
    ), bumped as (
        update lane set seq = n.seq from heads n where lane.student_id = n.student_id and lane.seq <> n.seq
    ), told as (
        insert into event (event_id, student_id, seq, type, purchase_id, turn, correlation_id, data, created_at)
            select event_id, student_id, seq, 'SESSIONS_PLANNED', purchase_id, '1', payment_id, data, at from numbered
    ), queued as (
        insert into outbox (shard, event_id, student_id, seq, created_at)
            select kc.shard(student_id), event_id, student_id, seq, at from numbered order by student_id, seq
    ), kept as (
        insert into consumer_lane as old (consumer, student_id, last_seq)
            select 'sessions', s.student_id, s.seq from (
                select student_id, seq from heads
                union all
                select * from unnest(others, upto)
            ) s order by s.student_id
        on conflict (consumer, student_id) do update set last_seq = excluded.last_seq where old.last_seq < excluded.last_seq
    )
    select json_agg(json_build_array(event_id, student_id, seq, 'SESSIONS_PLANNED', purchase_id, payment_id, data, at) order by student_id, seq)
        into logged from numbered;
    return coalesce(logged, '[]')::text;
end $$;

-- What makes parked messages alike: the stage at which they failed, and the field or the reason.
create function kc.parked_group(k parked) returns text language sql stable return
    k.stage || '/' || coalesce(nullif(split_part(k.field, ':', 1), ''), left(k.reason, 60));

-- An allocation that was given back although its purchase is paid for is asked for once more.
create function kc.reopen_allocation(purchase uuid) returns boolean language plpgsql volatile as $$
begin
    perform kc.lock_lanes(array(select student_id from allocation a where a.purchase_id = purchase));
    update allocation a set status = 'requested', requested_at = clock_timestamp()
        from purchase p where a.purchase_id = purchase and p.purchase_id = purchase and a.status = 'released'
            and p.status in ('paid', 'partly_refunded');
    return found;
end $$;
