-- These purchases as the payments that made them, and where their allocation is.
select p.provider, p.payment_id, p.student_id, p.course_id, p.tier, p.amount, p.currency, m.order_id, coalesce(m.captured_at, p.created_at),
    p.purchase_id, coalesce(a.status, 'absent'), p.status
from purchase p left join payment m using (provider, payment_id) left join allocation a using (purchase_id)
where p.purchase_id = any (%(purchases)s::uuid[]) order by p.created_at
