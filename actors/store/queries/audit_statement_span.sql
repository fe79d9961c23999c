insert into statement_span (provider, covered_from, covered_to) values (%(provider)s, %(covered_from)s, %(covered_to)s)
on conflict (provider, covered_from, covered_to) do update set read_at = now()
