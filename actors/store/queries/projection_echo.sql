select kc.echo(%s::jsonb)
