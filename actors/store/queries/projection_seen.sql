-- A sign of life of one member of a consumer; caught_up says that it has read everything there was.
insert into consumer_member as old (consumer, member, caught_up_at)
    values (%(consumer)s, %(member)s, case when %(caught_up)s then now() end)
on conflict (consumer, member) do update set seen_at = now(), caught_up_at = coalesce(excluded.caught_up_at, old.caught_up_at)
