-- These findings were brought again; a later look that does not find them calls them fixed.
update finding set detail = detail || '{"mending": true}' where kind = %(kind)s and state = 'open' and subject = any (%(subjects)s::text[])
