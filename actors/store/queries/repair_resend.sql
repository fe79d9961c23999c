select kc.resend(%(student)s::uuid, %(first)s)::text
