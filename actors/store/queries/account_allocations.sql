-- The allocations of these students by status, and purchases with more than one or none.
select
    count(*) filter (where a.status = 'allocated'),
    count(*) filter (where a.status = 'waitlisted'),
    count(*) - count(distinct a.purchase_id),
    count(*) filter (where a.purchase_id is null)
from purchase p left join allocation a using (purchase_id)
where p.student_id = any (%(students)s::uuid[])
