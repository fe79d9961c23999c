-- Trainers whose counted load is not the number of their allocations, or is above their capacity.
select count(*)
from trainer t
left join (select trainer_id, count(*) as held from allocation where status = 'allocated' group by trainer_id) a
    using (trainer_id)
where t.load <> coalesce(a.held, 0) or t.load > t.capacity
