-- Purchases with a change that no event tells of, and their students. All of them, however old.
select d.purchase_id::text, d.student_id::text
from kc.due_event d
where d.created_at < now() - make_interval(secs => %(age_s)s)
    and not exists (select from event x where x.purchase_id = d.purchase_id and x.type = d.type and x.turn = d.turn)
group by d.purchase_id, d.student_id order by min(d.created_at) limit %(most)s
