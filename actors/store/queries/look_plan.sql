-- How the looks of this transaction are planned. At the whole: tables against tables, where a row at a time takes up to three times
-- as long. At what is recent: from row to row by index, whatever the statistics say, so that no plan reads a whole table. Always for
-- the values at hand, and in one process, so that the time that a look takes is the CPU time that it may take.
select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    set_config('enable_nestloop', case when %(whole)s then 'off' else 'on' end, true),
    set_config(name, case when %(whole)s then 'on' else 'off' end, true)
from (values ('enable_hashjoin'), ('enable_mergejoin'), ('enable_seqscan')) of_one (name)
