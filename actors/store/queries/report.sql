select kc.report(%s, %s, %s::jsonb)
