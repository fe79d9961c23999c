delete from outbox where id = any (%s::bigint[])
