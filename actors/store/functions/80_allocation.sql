-- Allocation is two calls of one transaction around a pure rule in Python: open locks and reads, close writes what the rule
-- decided. Lanes first, trainers last and sorted, and their loads are read by the statement after the lock.

create function kc.open_allocation(purchases uuid[]) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    courses uuid[];
    wanted uuid[];
begin
    perform kc.lock_lanes(array(select student_id from allocation where purchase_id = any (purchases)));
    select array_agg(purchase_id), array_agg(distinct course_id) into wanted, courses
        from allocation where purchase_id = any (purchases) and status in ('requested', 'waitlisted');
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
                    select o.trainer_id from allocation o where o.student_id = a.student_id and o.course_id = a.course_id
                        and o.trainer_id is not null and o.allocation_id <> a.allocation_id order by o.requested_at desc limit 1
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

create type kc.allocation_decision as (ord integer, allocation_id uuid, trainer_id uuid, turn integer, event_id uuid);

create function kc.close_allocation(decisions jsonb) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    decided kc.allocation_decision[] := array(select d from jsonb_populate_recordset(null::kc.allocation_decision, decisions) d);
    at timestamptz := clock_timestamp();
    -- open_allocation of this transaction holds the lanes
    lanes lane[] := array(select l from lane l where l.student_id in (
        select a.student_id from unnest(decided) d join allocation a using (allocation_id)));
begin
    update allocation a set turn = d.turn, trainer_id = coalesce(d.trainer_id, a.trainer_id),
            status = case when d.trainer_id is null then 'waitlisted' else 'allocated' end
        from unnest(decided) d where a.allocation_id = d.allocation_id;
    perform kc.append_events(array_agg(row(d.ord, d.event_id, a.student_id,
            case when d.trainer_id is null then 'ALLOCATION_WAITLISTED' else 'COURSE_ACCESS_GRANTED' end, a.purchase_id, d.turn::text, p.payment_id,
            case when d.trainer_id is null
                then jsonb_build_object('purchase_id', a.purchase_id, 'allocation_id', a.allocation_id, 'course_id', a.course_id)
                else jsonb_build_object('purchase_id', a.purchase_id, 'allocation_id', a.allocation_id, 'course_id', a.course_id,
                    'trainer_id', t.trainer_id, 'trainer_name', t.name, 'sessions_total', p.tier) end)::kc.event_draft), at)
        from unnest(decided) d join allocation a using (allocation_id) join purchase p using (purchase_id)
        left join trainer t on t.trainer_id = d.trainer_id;
    update trainer t set load = t.load + taken.n
        from (select d.trainer_id, count(*) as n from unnest(decided) d where d.trainer_id is not null group by 1) taken
        where t.trainer_id = taken.trainer_id;
    return kc.logged_since(lanes)::text;
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
