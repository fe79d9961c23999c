-- The events of each of these students: how many, the highest number, the number that the lane holds, and how many say a
-- thing that another one of them says already.
select
    l.student_id,
    count(e.event_id),
    coalesce(max(e.seq), 0),
    l.seq,
    count(e.event_id) - count(distinct (e.purchase_id, e.type, e.turn)) filter (where e.event_id is not null)
from lane l left join event e using (student_id)
where l.student_id = any (%(students)s::uuid[])
group by l.student_id, l.seq
