-- The events that the present state of a purchase calls for, in the contract's order. The one place that knows which event
-- tells which fact: half-done work, the audit and the operator's repair all ask here. Purchases from before the log that
-- retention has left are not asked for.
create view kc.due_event as
    with log as (select events_since from service)
    select p.purchase_id, p.student_id, p.payment_id, p.created_at, 1 as ord, 'PURCHASE_CREATED' as type, '1' as turn, null::bigint as refunded
        from purchase p, log where p.created_at >= log.events_since
    union all
    -- Due only with PURCHASE_CREATED, or where the place behind it is empty: a course bought while another purchase of it stood
    -- never had this event and must not get it when that other one goes.
    select p.purchase_id, p.student_id, p.payment_id, p.created_at, 2, 'COURSE_PURCHASED', '1', null
        from purchase p, log where p.created_at >= log.events_since and p.status in ('paid', 'partly_refunded')
            and not exists (
                select from event x join lane l on l.student_id = x.student_id
                left join event behind on behind.student_id = x.student_id and behind.seq = x.seq + 1
                where x.purchase_id = p.purchase_id and x.type = 'PURCHASE_CREATED' and (behind.seq is not null or l.seq <= x.seq))
            and not exists (
                select from purchase o where o.student_id = p.student_id and o.course_id = p.course_id
                    and o.purchase_id <> p.purchase_id and o.status in ('paid', 'partly_refunded', 'on_hold')
                    and (o.created_at, o.purchase_id) < (p.created_at, p.purchase_id))
    union all
    select p.purchase_id, p.student_id, p.payment_id, p.created_at, s.ord, s.type, a.turn::text, null
        from purchase p join allocation a using (purchase_id)
        join (values ('allocated', 3, 'COURSE_ACCESS_GRANTED'), ('waitlisted', 4, 'ALLOCATION_WAITLISTED'),
            ('released', 6, 'COURSE_ACCESS_REVOKED')) s (status, ord, type) on s.status = a.status, log
        where p.created_at >= log.events_since and (a.status <> 'released' or a.trainer_id is not null)
    union all
    select p.purchase_id, p.student_id, p.payment_id, p.created_at, 5, 'PURCHASE_REFUNDED', r.refund_id,
            -- no window: it would be counted for every refund there is before one purchase's are picked
            (select sum(x.amount)::bigint from refund x where x.provider = r.provider and x.payment_id = r.payment_id
                and x.status = 'applied' and (x.applied_at, x.refund_id) <= (r.applied_at, r.refund_id))
        from purchase p join refund r using (provider, payment_id), log
        where p.created_at >= log.events_since and r.status = 'applied'
    union all
    select p.purchase_id, p.student_id, p.payment_id, p.created_at, 7, 'SESSIONS_PLANNED', '1', null
        from purchase p join session_plan using (purchase_id), log where p.created_at >= log.events_since;

-- What is due for these purchases and the log does not hold. Who asks holds the lanes of their students, so that it goes from row
-- to row by index, whatever the statistics say: with one pass over the tables for each of 500 students to heal, payments of
-- all of them waited for a minute.
create function kc.missing_events(purchases uuid[]) returns kc.event_draft[] language sql stable
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select coalesce(array_agg(row(n, kc.event_id(purchase_id, type, turn), student_id, type, purchase_id, turn, payment_id, data)::kc.event_draft
        order by n), '{}')
    from (
        select row_number() over (order by d.created_at, d.purchase_id, d.ord, d.refunded) as n, d.type, d.turn, d.purchase_id,
            d.student_id, d.payment_id,
            case d.type
                when 'PURCHASE_CREATED' then jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id,
                    'course_id', p.course_id, 'tier', p.tier, 'amount', p.amount, 'currency', p.currency)
                when 'COURSE_PURCHASED' then jsonb_build_object('purchase_id', p.purchase_id, 'course_id', p.course_id,
                    'course_title', c.title, 'tier', p.tier)
                when 'COURSE_ACCESS_GRANTED' then jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id,
                    'course_id', p.course_id, 'trainer_id', t.trainer_id, 'trainer_name', t.name, 'sessions_total', p.tier)
                when 'PURCHASE_REFUNDED' then jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id,
                    'refunded', d.refunded, 'status', case when d.refunded = p.amount then 'refunded' else 'partly_refunded' end)
                when 'SESSIONS_PLANNED' then jsonb_build_object('purchase_id', p.purchase_id, 'sessions_total', p.tier)
                else jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id)
            end as data
        from kc.due_event d
        join purchase p using (purchase_id)
        join course c on c.course_id = p.course_id
        left join allocation a on a.purchase_id = p.purchase_id
        left join trainer t on t.trainer_id = a.trainer_id
        where d.purchase_id = any (purchases)
            and not exists (select from event x where x.purchase_id = d.purchase_id and x.type = d.type and x.turn = d.turn)
    ) missing;
$$;
