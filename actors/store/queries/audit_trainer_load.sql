-- A14. Trainers whose load is not the number of their allocations, or is above their capacity.
select t.trainer_id::text, json_build_object('name', t.name, 'load', t.load, 'allocations', coalesce(a.n, 0), 'capacity', t.capacity)::text, now()
from trainer t left join (select trainer_id, count(*) as n from allocation where status = 'allocated' group by trainer_id) a using (trainer_id)
where t.load <> coalesce(a.n, 0) or t.load > t.capacity
order by 1 limit %(most)s
