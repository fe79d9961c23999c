-- Shards that have rows and that nobody else relays now. The lock is the session's, not a transaction's.
select s.shard from generate_series(0, 15) as s (shard)
where exists (select from outbox o where o.shard = s.shard) and pg_try_advisory_lock(%(space)s, s.shard)
