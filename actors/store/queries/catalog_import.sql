-- Idempotent: what is there is updated, what is left out stays. A trainer's courses become those named.
with document as (select %s::jsonb as d),
courses as (
    insert into course (course_id, title)
    select (c ->> 'course_id')::uuid, c ->> 'title' from document, jsonb_array_elements(d -> 'courses') c order by 1
    on conflict (course_id) do update set title = excluded.title where course.title is distinct from excluded.title
    returning 1
), trainers as (
    insert into trainer (trainer_id, name, capacity)
    select (t ->> 'trainer_id')::uuid, t ->> 'name', (t ->> 'capacity')::int from document, jsonb_array_elements(d -> 'trainers') t order by 1
    on conflict (trainer_id) do update set name = excluded.name, capacity = excluded.capacity
        where (trainer.name, trainer.capacity) is distinct from (excluded.name, excluded.capacity)
    returning 1
)
select (select count(*) from courses), (select count(*) from trainers)
