-- The state of a student's log and the first events after a position: one snapshot, one row at least.
select (select epoch from service), coalesce(l.seq, 0), coalesce((select min(seq) from event where student_id = %(student)s::uuid), coalesce(l.seq, 0) + 1),
    e.event_id::text, e.student_id::text, e.seq, e.type, e.purchase_id::text, e.correlation_id, e.data::text, e.created_at
from (select 1) one
left join lane l on l.student_id = %(student)s::uuid
left join lateral (
    select * from event where student_id = %(student)s::uuid and seq > %(after)s order by seq limit %(limit)s
) e on true
order by e.seq
