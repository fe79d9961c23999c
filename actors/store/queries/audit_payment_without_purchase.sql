-- A1. Captured payments without purchase: somebody paid and bought nothing. The anti-join sees all of them, however old.
select p.provider || ':' || p.payment_id,
    json_build_object('student_id', p.student_id, 'course_id', p.course_id, 'amount', p.amount, 'currency', p.currency)::text, p.updated_at
from payment p
where p.state = 'captured' and p.updated_at < now() - make_interval(secs => %(settled_s)s)
    and not exists (select from purchase x where x.provider = p.provider and x.payment_id = p.payment_id)
order by p.updated_at limit %(most)s
