-- The oldest row by id: rows of a lane leave in order, so nothing older waits behind it for long.
select extract(epoch from clock_timestamp() - created_at)::float8 from outbox order by id limit 1
