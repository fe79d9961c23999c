select course_id, title from course order by title, course_id limit %s
