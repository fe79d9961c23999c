-- The old events of some lanes, all of each lane at once, so that what is left has no hole. Kafka has them.
with lanes as (
    select distinct student_id from (
        select e.student_id from event e where e.created_at < now() - make_interval(days => %(event_days)s)
            and not exists (select from outbox o where o.student_id = e.student_id and o.seq <= e.seq) limit %(most)s) old
)
delete from event e using lanes where e.student_id = lanes.student_id and e.created_at < now() - make_interval(days => %(event_days)s)
    and not exists (select from outbox o where o.student_id = e.student_id and o.seq <= e.seq)
