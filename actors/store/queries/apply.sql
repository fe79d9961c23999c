select kc.apply(%s::jsonb)
