-- The lane of a student: its lock comes before every other lock of a transaction, its seq numbers the student's events.

create type kc.event_draft as (
    ord integer, event_id uuid, student_id uuid, type text, purchase_id uuid, turn text, correlation_id text, data jsonb
);

-- Missing lanes are inserted before any is locked. Whoever inserts one holds it; whoever meets the other's insert waits
-- here, holding only lanes that sort before it. Locking first and inserting later was a deadlock. A row that a lock waited for
-- is read anew when it is had, so the numbers are the present ones.
create function kc.lock_lanes(students uuid[]) returns lane[] language plpgsql as $$
declare
    locked lane[];
begin
    insert into lane (student_id)
        select distinct s from unnest(students) s where not exists (select from lane where lane.student_id = s) order by s
        on conflict do nothing;
    select array_agg(l) into locked from (select l from lane l where student_id = any (students) order by student_id for update) had;
    return coalesce(locked, '{}');
end $$;

-- What has been logged for these students since their lanes were locked, as the announcer wants it: the screen need not wait
-- for another look into the database.
create function kc.logged_since(lanes lane[]) returns json language sql stable as $$
    select coalesce(json_agg(json_build_array(e.event_id, e.student_id, e.seq, e.type, e.purchase_id, e.correlation_id, e.data, e.created_at)
        order by e.student_id, e.seq), '[]')
    from unnest(lanes) l join event e on e.student_id = l.student_id and e.seq > l.seq;
$$;

-- Which of the relay's 16 shards a student's events go through.
create function kc.shard(student uuid) returns smallint language sql immutable strict
return (uuid_hash(student) & 15)::smallint;

-- Numbers the drafts of each student in their order, logs them and queues them for Kafka. The lanes are locked. What the log
-- holds already is not told again: a purchase whose row was lost comes back beside the events of its first life.
create function kc.append_events(drafts kc.event_draft[], at timestamptz) returns void language plpgsql as $$
begin
    if cardinality(drafts) = 0 then
        return;
    end if;
    with numbered as (
        select d.*, row_number() over (partition by d.student_id order by d.ord) as n from unnest(drafts) d
            left join lateral (select true as told from event e where e.purchase_id = d.purchase_id and e.event_id = d.event_id limit 1) known on true
            where known.told is null
    ), bumped as (
        update lane set seq = lane.seq + taken.n
        from (select student_id, max(n) as n from numbered group by student_id) taken
        where lane.student_id = taken.student_id
        returning lane.student_id, lane.seq - taken.n as base
    ), logged as (
        insert into event (event_id, student_id, seq, type, purchase_id, turn, correlation_id, data, created_at)
        select n.event_id, n.student_id, b.base + n.n, n.type, n.purchase_id, n.turn, n.correlation_id, n.data, at
        from numbered n join bumped b using (student_id)
        returning event_id, student_id, seq
    )
    insert into outbox (shard, event_id, student_id, seq, created_at)
        select kc.shard(student_id), event_id, student_id, seq, at from logged order by student_id, seq;
end $$;
