-- Captured payments without purchase: somebody paid and bought nothing. back_s: null for all of them, however old.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, p.order_id, coalesce(p.captured_at, p.updated_at)
from payment p
where p.state = 'captured' and p.updated_at < now() - make_interval(secs => %(age_s)s)
    and p.updated_at >= coalesce(now() - make_interval(secs => %(back_s)s), '-infinity')
    and p.student_id is not null and p.course_id is not null and p.tier is not null and p.amount is not null and p.currency is not null
    and not exists (select from purchase x where x.provider = p.provider and x.payment_id = p.payment_id)
    and not exists (select from parked k where k.provider = p.provider and k.payment_id = p.payment_id and k.state = 'open')
order by p.updated_at limit %(most)s
