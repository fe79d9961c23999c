-- The short view: counts, the newest purchase, and what comes next.
select json_build_object(
    'student_id', %(student)s::uuid,
    'as_of_seq', coalesce((select seq from lane where student_id = %(student)s::uuid), 0),
    'epoch', (select epoch from service),
    'counts', (
        select json_build_object(
            'courses', count(distinct p.course_id) filter (where p.status in ('paid', 'partly_refunded', 'on_hold')),
            'purchases', count(*),
            'waitlisted', count(*) filter (where a.status = 'waitlisted'),
            'sessions_left', coalesce(sum(p.tier) filter (where p.status in ('paid', 'partly_refunded')), 0))
        from purchase p left join allocation a using (purchase_id) where p.student_id = %(student)s::uuid
    ),
    'newest_purchase', (
        select json_build_object('purchase_id', p.purchase_id, 'course_id', p.course_id, 'title', c.title, 'tier', p.tier, 'status', p.status,
            'created_at', to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        from purchase p join course c using (course_id)
        where p.student_id = %(student)s::uuid order by p.created_at desc, p.purchase_id limit 1
    ),
    'next_session', (
        select json_build_object('course_id', a.course_id, 'title', c.title, 'trainer', json_build_object('trainer_id', t.trainer_id, 'name', t.name),
            'number', 1, 'of', p.tier)
        from allocation a join purchase p using (purchase_id) join course c on c.course_id = a.course_id join trainer t using (trainer_id)
        where p.student_id = %(student)s::uuid and a.status = 'allocated' order by a.requested_at, a.allocation_id limit 1
    )
)::text
