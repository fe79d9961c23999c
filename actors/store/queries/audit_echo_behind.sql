-- A7. Lanes whose last event left the outbox and was never seen on Kafka by our own echo. Judged only up to the moment at
-- which every echo that lives had read all there was.
with echo as (
    select min(started_at) as since, coalesce(min(caught_up_at) filter (where seen_at > now() - interval '2 minutes'), max(caught_up_at)) as upto
    from consumer_member where consumer = 'echo' and caught_up_at is not null
)
select l.student_id::text, json_build_object('seq', e.seq, 'seen', coalesce(c.last_seq, 0))::text, e.created_at
from echo cross join lane l
join event e on e.student_id = l.student_id and e.seq = l.seq
left join consumer_lane c on c.consumer = 'echo' and c.student_id = l.student_id
where coalesce(c.last_seq, 0) < e.seq and e.created_at > echo.since
    and e.created_at < least(now(), echo.upto) - make_interval(secs => %(pending_s)s)
    and not exists (select from outbox o where o.event_id = e.event_id)
order by e.created_at limit %(most)s
