-- What a look at one kind found becomes findings; what it did not find any more is over: fixed where we brought it again, else gone.
with seen as (
    select * from jsonb_to_recordset(%(cases)s::jsonb) as c (subject text, detail jsonb, since timestamptz)
), kept as (
    insert into finding as old (kind, subject, detail, first_at)
    select %(kind)s, subject, detail, since from seen order by subject
    on conflict (kind, subject) where state = 'open' do update set last_at = clock_timestamp(), detail = old.detail || excluded.detail
    returning 1
)
update finding f set state = case when f.subject = any (%(mended)s::text[]) or f.detail ? 'mending' then 'fixed' else 'gone' end, last_at = clock_timestamp()
where f.kind = %(kind)s and f.state = 'open' and %(complete)s and not exists (select from seen s where s.subject = f.subject)
