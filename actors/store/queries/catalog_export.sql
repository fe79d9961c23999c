select json_build_object(
    'courses', coalesce((select json_agg(json_build_object('course_id', course_id, 'title', title) order by title, course_id) from course), '[]'),
    'trainers', coalesce((
        select json_agg(json_build_object('trainer_id', t.trainer_id, 'name', t.name, 'capacity', t.capacity, 'courses', coalesce((
            select json_agg(tc.course_id order by tc.course_id) from trainer_course tc where tc.trainer_id = t.trainer_id), '[]'))
            order by t.name, t.trainer_id) from trainer t), '[]')
)::text
