select o.id, e.event_id::text, e.student_id::text, e.seq, e.type, e.purchase_id::text, e.correlation_id, e.data::text, e.created_at
from outbox o join event e using (event_id)
where o.shard = any (%s::smallint[])
order by o.id limit %s
