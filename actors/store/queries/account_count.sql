-- How many purchases these students have.
select count(*) from purchase where student_id = any (%(students)s::uuid[])
