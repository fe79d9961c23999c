-- A13. Students whose messages kept failing in our own code and were taken out of their lane: what follows may rest on them.
select k.student_id::text, json_build_object('parked', json_agg(k.id order by k.id), 'reason', min(k.reason))::text, min(k.first_at)
from parked k where k.state = 'open' and k.stage in ('student', 'ledger') and k.student_id is not null
group by k.student_id order by 3 limit %(most)s
