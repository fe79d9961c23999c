-- A5. Changes that no event tells of, and events that have waited for Kafka too long.
(select d.purchase_id::text, json_build_object('student_id', d.student_id, 'missing', json_agg(d.type order by d.ord))::text, min(d.created_at)
from kc.due_event d
where d.created_at < now() - make_interval(secs => %(settled_s)s)
    and not exists (select from event x where x.purchase_id = d.purchase_id and x.type = d.type and x.turn = d.turn)
group by d.purchase_id, d.student_id order by 3 limit %(most)s)
union all
(select 'outbox:' || o.student_id, json_build_object('student_id', o.student_id, 'unpublished', count(*), 'first_seq', min(o.seq))::text, min(o.created_at)
from outbox o where o.created_at < now() - make_interval(secs => %(pending_s)s)
group by o.student_id order by 3 limit %(most)s)
