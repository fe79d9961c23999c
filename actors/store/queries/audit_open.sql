-- How many findings of each kind are open, and for how long the oldest has been there.
select kind, count(*), extract(epoch from now() - min(first_at))::float8 from finding where state = 'open' group by kind
