-- A6. Lanes whose events do not run without a hole up to the lane's number, and events without a lane. What retention took
-- from the beginning is no hole.
select student_id::text, json_build_object('seq', l.seq, 'events', coalesce(e.n, 0), 'first', e.lowest, 'last', e.highest)::text, now()
from lane l
full join (select student_id, count(*) as n, min(seq) as lowest, max(seq) as highest from event group by student_id) e using (student_id),
    service s
where case
    when e.n is null then l.seq <> 0 and s.events_since = '-infinity'
    else l.seq is distinct from e.highest or e.n <> e.highest - e.lowest + 1 or (e.lowest <> 1 and s.events_since = '-infinity') end
order by 1 limit %(most)s
