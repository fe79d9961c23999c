select kc.pass_on(%s::jsonb)
