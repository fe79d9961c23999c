-- An event that Kafka would refuse for its size is refused here, where its message can still be parked: in the outbox it
-- would hold up every later event of its student. Far below the broker's default bound of 1 MiB.
alter table event add constraint event_size check (pg_column_size(data) <= 65536);
