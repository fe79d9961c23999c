select pg_advisory_unlock(%(space)s, 0)
