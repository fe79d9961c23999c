-- One node at a time looks; the lock is this session's.
select pg_try_advisory_lock(%(space)s, 0)
