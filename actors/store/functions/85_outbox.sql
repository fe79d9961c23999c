-- A round of the relay: shards that have rows and that nobody else relays now, and their first rows with their events as
-- `kc.logged_since` writes them. The locks are the session's, not a transaction's; the rows are read by a statement of its own
-- after them, so that nothing is read twice which the holder before us deleted.

create function kc.claim_outbox(space integer, most integer, out shards smallint[], out rows text) language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
begin
    shards := array(select s.shard from generate_series(0, 15) as s (shard)
        where exists (select from outbox o where o.shard = s.shard) and pg_try_advisory_lock(space, s.shard));
    if cardinality(shards) = 0 then
        rows := '[]';
        return;
    end if;
    select coalesce(json_agg(json_build_array(o.id, json_build_array(
                e.event_id, e.student_id, e.seq, e.type, e.purchase_id, e.correlation_id, e.data, e.created_at)) order by o.id), '[]')::text into rows
        from (select id, event_id from outbox where shard = any (shards) order by id limit most) o join event e using (event_id);
end $$;
