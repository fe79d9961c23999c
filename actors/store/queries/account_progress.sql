-- How far the work for these students is: purchases that stand, allocations still to be decided, events not yet on Kafka.
select
    (select count(*) from purchase where student_id = any (%(students)s::uuid[])),
    (select count(*) from purchase p join allocation a using (purchase_id) where p.student_id = any (%(students)s::uuid[]) and a.status = 'requested'),
    (select count(*) from outbox where student_id = any (%(students)s::uuid[])),
    (select count(*) from event where student_id = any (%(students)s::uuid[])),
    -- as long as somebody plans sessions, an allocation without a plan is work on its way
    (select count(*) from purchase p join allocation a using (purchase_id) where p.student_id = any (%(students)s::uuid[]) and a.status = 'allocated'
        and not exists (select from session_plan s where s.purchase_id = a.purchase_id)
        and exists (select from consumer_member m where m.consumer = 'sessions' and m.seen_at > now() - interval '20 seconds'))
