insert into operator_action (who, command, arguments, dry_run, result) values (%(who)s, %(command)s, %(arguments)s::jsonb, %(dry_run)s, %(result)s::jsonb)
