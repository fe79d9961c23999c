select b.payload::text from inbox b join unnest(%(subjects)s::text[]) s (subject) on s.subject = b.provider || ':' || b.event_id
where b.payload is not null
