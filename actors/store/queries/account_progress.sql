-- How far the work for these students is: purchases that stand, allocations still to be decided, events not yet on Kafka.
select
    (select count(*) from purchase where student_id = any (%(students)s::uuid[])),
    (select count(*) from allocation where student_id = any (%(students)s::uuid[]) and status = 'requested'),
    (select count(*) from outbox where student_id = any (%(students)s::uuid[])),
    (select count(*) from event where student_id = any (%(students)s::uuid[]))
