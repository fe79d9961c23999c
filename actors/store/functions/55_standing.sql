-- What a purchase is worth now: it follows from the refunds and disputes of its payment, never from what it was before.

-- An open dispute holds the purchase and leaves its place alone; a lost one ends it, whatever is refunded beside it.
create function kc.standing(of_provider text, of_payment text, amount bigint, refunded bigint) returns text language sql stable as $$
    select case when d.lost then 'revoked' when refunded = amount and refunded > 0 then 'refunded' when d.open then 'on_hold'
        when refunded > 0 then 'partly_refunded' else 'paid' end
    from (
        select coalesce(bool_or(status = 'lost'), false) as lost, coalesce(bool_or(status = 'open'), false) as open
        from dispute where provider = of_provider and payment_id = of_payment
    ) d;
$$;

-- Ends the access of a purchase: what to tell of it, and the trainer whose place came free. Who only waited just leaves the line.
create function kc.release(p purchase, ord integer, out draft kc.event_draft, out place uuid) language plpgsql as $$
declare
    a allocation;
begin
    select * into a from allocation where purchase_id = p.purchase_id;
    if a.status = 'allocated' then
        update allocation set status = 'released', turn = turn + 1 where purchase_id = p.purchase_id;
        place := a.trainer_id;
        draft := row(ord, kc.event_id(p.purchase_id, 'COURSE_ACCESS_REVOKED', (a.turn + 1)::text), p.student_id,
            'COURSE_ACCESS_REVOKED', p.purchase_id, (a.turn + 1)::text, p.payment_id,
            jsonb_build_object('purchase_id', p.purchase_id, 'allocation_id', a.allocation_id, 'course_id', p.course_id));
    elsif a.status in ('requested', 'waitlisted') then
        update allocation set status = 'released', trainer_id = null where purchase_id = p.purchase_id;
    end if;
end $$;

-- For what comes before its payment: from here on, whoever brings the payment waits for this transaction and then sees what
-- it kept. A purchase that came to stand while we waited here was invisible a moment ago: the whole batch has to look again.
create function kc.expect_payment(of_provider text, of_payment text) returns void language plpgsql as $$
begin
    insert into payment (provider, payment_id, state) values (of_provider, of_payment, 'expected') on conflict do nothing;
    perform from payment where provider = of_provider and payment_id = of_payment for update;
    perform from purchase where provider = of_provider and payment_id = of_payment;
    if found then
        raise serialization_failure using message = 'the payment came in at the same moment';
    end if;
end $$;

-- Trainers are the last rows that any transaction locks, sorted by id.
create function kc.free_places(trainers uuid[]) returns void language plpgsql as $$
begin
    perform from trainer where trainer_id = any (trainers) order by trainer_id for update;
    update trainer t set load = t.load - freed.n
        from (select x as trainer_id, count(*) as n from unnest(trainers) x group by x) freed
        where t.trainer_id = freed.trainer_id;
end $$;
