-- The learning view of one student with the log position that it stands for, from one snapshot.
select json_build_object(
    'student_id', %(student)s::uuid,
    'as_of_seq', coalesce((select seq from lane where student_id = %(student)s::uuid), 0),
    'epoch', (select epoch from service),
    'courses', coalesce((
        select json_agg(json_build_object(
            'course_id', v.course_id, 'title', v.title, 'status', v.status, 'purchases', v.purchases, 'trainer', v.trainer,
            'sessions_total', v.sessions, 'sessions_left', v.sessions) order by v.first_at, v.course_id)
        from (
            select p.course_id, c.title, min(p.created_at) as first_at,
                case when bool_or(a.status = 'allocated') then 'active'
                     when bool_or(a.status = 'waitlisted') then 'waitlisted'
                     when bool_or(a.status = 'requested') then 'pending'
                     when bool_or(p.status = 'on_hold') then 'on_hold'
                     when bool_or(p.status in ('paid', 'partly_refunded')) then 'pending'
                     when bool_or(p.status = 'revoked') then 'revoked'
                     else 'refunded' end as status,
                json_agg(json_build_object('purchase_id', p.purchase_id, 'tier', p.tier, 'status', p.status, 'created_at',
                    to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by p.created_at, p.purchase_id) as purchases,
                (select json_build_object('trainer_id', t.trainer_id, 'name', t.name)
                    from allocation x join trainer t using (trainer_id)
                    where x.student_id = %(student)s::uuid and x.course_id = p.course_id and x.status = 'allocated'
                    order by x.requested_at desc limit 1) as trainer,
                coalesce(sum(p.tier) filter (where p.status in ('paid', 'partly_refunded')), 0) as sessions
            from purchase p join course c using (course_id) left join allocation a using (purchase_id)
            where p.student_id = %(student)s::uuid
            group by p.course_id, c.title
        ) v
    ), '[]')
)::text
