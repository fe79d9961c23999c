-- Everything that says what this payment was for: the payment itself, the purchase, then what came with marks and parked messages.
select 1, p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, p.order_id, coalesce(p.captured_at, p.updated_at), p.state, null::bytea
from payment p where p.provider = %(provider)s and p.payment_id = %(payment_id)s
union all
select 2, x.provider, x.payment_id, x.student_id, x.course_id, x.tier, x.amount, x.currency, null, x.created_at, 'captured', null
from purchase x where x.provider = %(provider)s and x.payment_id = %(payment_id)s
union all
select 3, b.provider, b.payment_id, null, null, null, null, null, null, b.received_at, null, convert_to(b.payload::text, 'UTF8')
from inbox b where b.provider = %(provider)s and b.payment_id = %(payment_id)s
union all
select 4, k.provider, k.payment_id, null, null, null, null, null, null, k.first_at, null, k.payload
from parked k where k.provider = %(provider)s and k.payment_id = %(payment_id)s and k.state = 'open' and k.reason <> 'conflict'
order by 1
