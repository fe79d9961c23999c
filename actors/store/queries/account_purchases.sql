-- The purchases of these students: which payment made them, and what became of them.
select payment_id, status from purchase where student_id = any (%(students)s::uuid[])
