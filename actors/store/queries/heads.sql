select student_id, seq from lane where student_id = any (%s::uuid[])
