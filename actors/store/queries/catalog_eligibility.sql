with wanted as (
    select (t ->> 'trainer_id')::uuid as trainer_id, c::uuid as course_id
    from jsonb_array_elements(%s::jsonb -> 'trainers') t cross join lateral jsonb_array_elements_text(t -> 'courses') c
), gone as (
    delete from trainer_course tc
    where tc.trainer_id = any (%s::uuid[]) and not exists (select from wanted w where w.trainer_id = tc.trainer_id and w.course_id = tc.course_id)
    returning 1
), come as (
    insert into trainer_course (trainer_id, course_id) select distinct trainer_id, course_id from wanted order by 1, 2
    on conflict do nothing returning 1
)
select (select count(*) from gone), (select count(*) from come)
