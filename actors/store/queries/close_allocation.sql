select kc.close_allocation(%s::jsonb)
