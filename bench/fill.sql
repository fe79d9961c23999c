-- Purchases of long ago, one a student, from number first to last: what the service would have written, all in one go.
with place as (
    select row_number() over (order by trainer_id, course_id) - 1 as k, count(*) over () as places, trainer_id, course_id
    from trainer_course
),
made as materialized (
    select n, trainer_id, course_id, 'pay_old' || n as payment_id,
           md5('student ' || n)::uuid as student_id, md5('purchase ' || n)::uuid as purchase_id,
           md5('allocation ' || n)::uuid as allocation_id
    from generate_series(%(first)s::bigint, %(last)s::bigint) n join place on place.k = n %% place.places
),
lanes as (insert into lane (student_id, seq) select student_id, 3 from made),
payments as (
    insert into payment (provider, payment_id, student_id, course_id, tier, amount, currency, captured_at)
    select 'kc', payment_id, student_id, course_id, 10, 499900, 'INR', now() from made
),
purchases as (
    insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency)
    select purchase_id, 'kc', payment_id, student_id, course_id, 10, 499900, 'INR' from made
),
allocations as (
    insert into allocation (allocation_id, purchase_id, student_id, course_id, trainer_id, status, turn)
    select allocation_id, purchase_id, student_id, course_id, trainer_id, 'allocated', 1 from made
),
marks as (
    insert into inbox (provider, event_id, payment_id, outcome, type, via)
    select 'kc', 'evt_old' || n, payment_id, 'created', 'PAYMENT_SUCCEEDED', 'kafka' from made
),
events as (
    insert into event (event_id, student_id, seq, type, purchase_id, correlation_id, data)
    select md5('event ' || n || ' ' || seq)::uuid, student_id, seq,
           (array['PURCHASE_CREATED', 'COURSE_PURCHASED', 'COURSE_ACCESS_GRANTED'])[seq], purchase_id, payment_id,
           jsonb_build_object('purchase_id', purchase_id, 'course_id', course_id, 'tier', 10)
    from made cross join generate_series(1, 3) seq
),
loads as (select trainer_id, count(*)::integer as more from made group by trainer_id)
update trainer set load = load + more from loads where trainer.trainer_id = loads.trainer_id
