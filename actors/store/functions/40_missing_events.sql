-- The events that the present state of these purchases calls for and the log does not hold, in the contract's order.
-- The one place that knows which event tells which fact: half-done work, the audit and the operator's repair all ask here.

create function kc.missing_events(purchases uuid[]) returns kc.event_draft[] language sql stable as $$
    select coalesce(array_agg(row(n, kc.event_id(purchase_id, type, turn), student_id, type, purchase_id, turn, payment_id, data)::kc.event_draft), '{}')
    from (
        select row_number() over (order by p.created_at, p.purchase_id, e.ord, e.data ->> 'refunded') as n, e.type, e.turn, e.data,
            p.purchase_id, p.student_id, p.payment_id
        from purchase p
        join course c using (course_id)
        left join allocation a using (purchase_id)
        left join trainer t using (trainer_id)
        cross join lateral (
            values
            (1, 'PURCHASE_CREATED', '1', true,
                jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id, 'course_id', p.course_id, 'tier', p.tier,
                    'amount', p.amount, 'currency', p.currency)),
            -- Due only with PURCHASE_CREATED: a course bought while another purchase of it stood never had this event and
            -- must not get it when that other one goes.
            (2, 'COURSE_PURCHASED', '1',
                p.status in ('paid', 'partly_refunded')
                and not exists (select from event x where x.purchase_id = p.purchase_id and x.type = 'PURCHASE_CREATED')
                and not exists (
                    select from purchase o where o.student_id = p.student_id and o.course_id = p.course_id
                        and o.purchase_id <> p.purchase_id and o.status in ('paid', 'partly_refunded', 'on_hold')
                        and (o.created_at, o.purchase_id) < (p.created_at, p.purchase_id)),
                jsonb_build_object('purchase_id', p.purchase_id, 'course_id', p.course_id, 'course_title', c.title, 'tier', p.tier)),
            (3, 'COURSE_ACCESS_GRANTED', a.turn::text, a.status = 'allocated',
                jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id,
                    'trainer_id', t.trainer_id, 'trainer_name', t.name, 'sessions_total', p.tier)),
            (4, 'ALLOCATION_WAITLISTED', a.turn::text, a.status = 'waitlisted',
                jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id)),
            (6, 'COURSE_ACCESS_REVOKED', a.turn::text, a.status = 'released' and a.trainer_id is not null,
                jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id))
            union all
            select 5, 'PURCHASE_REFUNDED', r.refund_id, true,
                jsonb_build_object('purchase_id', p.purchase_id, 'payment_id', p.payment_id, 'refunded', r.upto,
                    'status', case when r.upto = p.amount then 'refunded' else 'partly_refunded' end)
                from (select refund_id, sum(amount) over (order by applied_at, refund_id) as upto from refund
                    where provider = p.provider and payment_id = p.payment_id and status = 'applied') r
        ) e (ord, type, turn, due, data)
        where p.purchase_id = any (purchases) and e.due
            and not exists (select from event x where x.purchase_id = p.purchase_id and x.type = e.type and x.turn = e.turn)
    ) missing;
$$;
