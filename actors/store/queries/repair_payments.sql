-- The facts of these payments, as far as they are complete.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, p.order_id, coalesce(p.captured_at, p.updated_at)
from payment p join unnest(%(subjects)s::text[]) s (subject) on s.subject = p.provider || ':' || p.payment_id
where p.state = 'captured' and p.student_id is not null and p.course_id is not null and p.tier is not null and p.amount is not null and p.currency is not null
    -- what is parked waits for a person: bringing it again would only park it again
    and not exists (select from parked k where k.provider = p.provider and k.payment_id = p.payment_id and k.state = 'open')
