insert into operator_action (who, command, arguments, result)
values (%(who)s, %(command)s, %(arguments)s::jsonb, %(result)s::jsonb)
returning id
