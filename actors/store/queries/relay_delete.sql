select kc.leave_outbox(%s::bigint[])
