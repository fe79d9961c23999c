-- The refunds of these students that were applied.
select count(*) from refund where student_id = any (%(students)s::uuid[]) and status = 'applied'
