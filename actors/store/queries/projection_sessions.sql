select kc.plan_sessions(%s::jsonb)
