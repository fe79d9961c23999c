select json_build_object('group', kc.parked_group(k), 'count', count(*), 'attempts', sum(k.attempts), 'oldest', min(k.first_at), 'newest', max(k.last_at))::text
from parked k where k.state = %(state)s group by kc.parked_group(k) order by count(*) desc, 1 limit %(most)s
