-- A relay that sleeps in the middle of a round (a stopped process, a frozen machine) loses its session and its shards.
select set_config('idle_session_timeout', %(idle_ms)s::text, false)
