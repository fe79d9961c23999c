-- A round of the relay: shards that have rows and that nobody else relays now, and their first rows with their events as
-- `kc.logged_since` writes them. The locks are the session's, not a transaction's; the rows are read by a statement of its own
-- after them, so that nothing is read twice which the holder before us deleted. Shards with rows are found by a statement of their
-- own, too: as one condition beside the lock, the planner may take the locks of all shards first and we would let go of few.
--
-- The outbox is empty one moment and full the next, so its statistics are always of another time. By them the planner sorted the
-- whole backlog for each round: ten times the cost, until the next vacuum.

create function kc.claim_outbox(space integer, most integer, out shards smallint[], out rows text) language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
    set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    filled smallint[];
begin
    filled := array(select s.shard from generate_series(0, 15) as s (shard)
        cross join lateral (select from outbox o where o.shard = s.shard limit 1) found);
    shards := array(select s.shard from unnest(filled) as s (shard) where pg_try_advisory_lock(space, s.shard));
    if cardinality(shards) = 0 then
        rows := '[]';
        return;
    end if;
    select coalesce(json_agg(json_build_array(o.id, json_build_array(
                e.event_id, e.student_id, e.seq, e.type, e.purchase_id, e.correlation_id, e.data, e.created_at)) order by o.id), '[]')::text into rows
        from (select id, event_id, student_id, seq from outbox where shard = any (shards) order by id limit most) o
        join event e using (student_id, seq, event_id);
end $$;

-- Rows that Kafka has acknowledged leave.
create function kc.leave_outbox(ids bigint[]) returns void language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    delete from outbox where id = any (ids);
end $$;
