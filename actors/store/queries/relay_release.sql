select pg_advisory_unlock(%(space)s, s) from unnest(%(shards)s::int[]) s
