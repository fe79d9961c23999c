-- Allocation is two calls of one transaction around a pure rule in Python: open locks and reads, close writes what the rule
-- decided. Lanes first, trainers last and sorted, and their loads are read by the statement after the lock. The plans are made once
-- for batches of any size, so they go from row to row by index: a hash join would read all trainers for one allocation.

create function kc.open_allocation(purchases uuid[]) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    courses uuid[];
    wanted uuid[];
    unlaned uuid[];
begin
    perform from lane where student_id in (select student_id from allocation where purchase_id = any (purchases)) order by student_id for update;
    select array_agg(a.purchase_id), array_agg(distinct a.course_id), array_agg(a.student_id) filter (where l.student_id is null)
        into wanted, courses, unlaned
        from allocation a left join lane l using (student_id)
        where a.purchase_id = any (purchases) and a.status in ('requested', 'waitlisted');
    if unlaned is not null then
        -- a purchase comes with its lane; somebody has taken this one away
        perform kc.lock_lanes(unlaned);
    end if;
    if wanted is null then
        return '{"requests":[],"trainers":[],"waiting":{}}';
    end if;
    perform from trainer where trainer_id in (select trainer_id from trainer_course where course_id = any (courses))
        order by trainer_id for update;
    return json_build_object(
        'requests', (
            select json_agg(json_build_object('purchase_id', a.purchase_id, 'allocation_id', a.allocation_id, 'student_id', a.student_id,
                'course_id', a.course_id, 'payment_id', p.payment_id, 'tier', p.tier, 'waiting', a.status = 'waitlisted',
                -- a row that was lost and made again goes on where the log has got to
                'turn', greatest(a.turn, (select max(e.turn::integer) from event e where e.purchase_id = a.purchase_id
                    and e.type in ('COURSE_ACCESS_GRANTED', 'ALLOCATION_WAITLISTED', 'COURSE_ACCESS_REVOKED'))),
                'own_trainer_id', (
                    select o.trainer_id from purchase q join allocation o using (purchase_id)
                        where q.student_id = a.student_id and q.course_id = a.course_id and q.purchase_id <> a.purchase_id
                            and o.trainer_id is not null
                        order by o.requested_at desc limit 1
                )) order by a.requested_at, a.allocation_id)
            from allocation a join purchase p using (purchase_id) where a.purchase_id = any (wanted)),
        'trainers', (
            select coalesce(json_agg(json_build_object('trainer_id', t.trainer_id, 'name', t.name, 'capacity', t.capacity, 'load', t.load,
                'courses', (select json_agg(tc.course_id) from trainer_course tc where tc.trainer_id = t.trainer_id and tc.course_id = any (courses)))), '[]')
            from trainer t where t.trainer_id in (select trainer_id from trainer_course where course_id = any (courses))),
        'waiting', (
            select coalesce(json_object_agg(course_id, n), '{}') from (
                select course_id, count(*) as n from allocation
                    where course_id = any (courses) and status = 'waitlisted' and purchase_id <> all (wanted) group by course_id
            ) w)
    )::text;
end $$;

create type kc.allocation_decision as (ord integer, purchase_id uuid, trainer_id uuid, turn integer, event_id uuid);

create function kc.close_allocation(decisions jsonb) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    at timestamptz := clock_timestamp();
    logged json;
begin
    -- `open_allocation` of this transaction holds the lanes and the trainers
    with d as materialized (
        select * from jsonb_populate_recordset(null::kc.allocation_decision, decisions)
    ), changed as (
        update allocation a set turn = d.turn, trainer_id = coalesce(d.trainer_id, a.trainer_id),
                status = case when d.trainer_id is null then 'waitlisted' else 'allocated' end
            from d where a.purchase_id = d.purchase_id
            returning d.ord, d.event_id, d.turn, d.trainer_id, a.allocation_id, a.purchase_id, a.student_id, a.course_id
    ), draft as (
        select l.student_id, -1 as ord, l.seq as base, null::uuid as event_id, null::text as type, null::uuid as purchase_id, null::text as turn,
                null::text as payment_id, null::jsonb as data
            from lane l where l.student_id in (select student_id from changed)
        union all
        select c.student_id, c.ord, null, c.event_id, case when c.trainer_id is null then 'ALLOCATION_WAITLISTED' else 'COURSE_ACCESS_GRANTED' end,
                c.purchase_id, c.turn::text, p.payment_id,
                case when c.trainer_id is null
                    then jsonb_build_object('purchase_id', c.purchase_id, 'allocation_id', c.allocation_id, 'course_id', c.course_id)
                    else jsonb_build_object('purchase_id', c.purchase_id, 'allocation_id', c.allocation_id, 'course_id', c.course_id,
                        'trainer_id', t.trainer_id, 'trainer_name', t.name, 'sessions_total', p.tier) end
            from changed c join purchase p using (purchase_id) left join trainer t on t.trainer_id = c.trainer_id
            left join lateral (select true as told from event e where e.purchase_id = c.purchase_id and e.event_id = c.event_id limit 1) known on true
            where known.told is null
    ), numbered as materialized (
        -- a lane's own row leads its drafts and brings the number to count from
        select * from (
            select d.*, first_value(base) over lane_order + row_number() over lane_order - 1 as seq
            from draft d window lane_order as (partition by student_id order by ord)
        ) n where ord >= 0
    ), bumped as (
        update lane set seq = n.seq from (select student_id, max(seq) as seq from numbered group by student_id) n
            where lane.student_id = n.student_id
    ), told as (
        insert into event (event_id, student_id, seq, type, purchase_id, turn, correlation_id, data, created_at)
            select event_id, student_id, seq, type, purchase_id, turn, payment_id, data, at from numbered
    ), queued as (
        insert into outbox (shard, event_id, student_id, seq, created_at)
            select kc.shard(student_id), event_id, student_id, seq, at from numbered order by student_id, seq
    ), taken as (
        update trainer t set load = t.load + d.n
            from (select trainer_id, count(*) as n from d where trainer_id is not null group by 1) d
            where t.trainer_id = d.trainer_id
    )
    select json_agg(json_build_array(event_id, student_id, seq, type, purchase_id, payment_id, data, at) order by student_id, seq)
        into logged from numbered;
    return coalesce(logged, '[]')::text;
end $$;

-- Those who wait longest for a course that has room now, at most as many as there is room for.
create function kc.next_waiting(most integer) returns setof uuid language sql stable as $$
    select w.purchase_id from (
        select tc.course_id, sum(t.capacity - t.load) as room from trainer t join trainer_course tc using (trainer_id)
            where t.load < t.capacity and exists (select from allocation a where a.course_id = tc.course_id and a.status = 'waitlisted')
            group by tc.course_id
    ) free
    cross join lateral (
        select purchase_id, requested_at from allocation a where a.course_id = free.course_id and a.status = 'waitlisted'
            order by a.requested_at, a.allocation_id limit free.room
    ) w
    order by w.requested_at limit most;
$$;
