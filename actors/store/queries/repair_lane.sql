select seq from lane where student_id = %(student)s::uuid
