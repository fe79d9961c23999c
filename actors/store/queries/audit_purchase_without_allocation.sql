-- A2. Paid purchases that have no allocation, one that nobody decides, or one that was given back although it is paid for.
select p.purchase_id::text, json_build_object('student_id', p.student_id, 'course_id', p.course_id, 'allocation', coalesce(a.status, 'absent'))::text,
    coalesce(a.requested_at, p.created_at)
from purchase p left join allocation a using (purchase_id)
where p.status in ('paid', 'partly_refunded', 'on_hold')
    and case coalesce(a.status, 'absent')
        when 'absent' then p.created_at < now() - make_interval(secs => %(settled_s)s)
        when 'released' then p.created_at < now() - make_interval(secs => %(settled_s)s)
        when 'requested' then a.requested_at < now() - make_interval(secs => %(pending_s)s)
        else false end
order by 3 limit %(most)s
