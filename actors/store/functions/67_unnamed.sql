-- A capture whose event does not say who bought what. Another event about the payment may say so, before or after: whichever of the
-- two transactions comes second sees the first, since both hold the payment's row, and leaves no parked row behind.

create type kc.unnamed_msg as (
    i integer, event_id text, provider text, payment_id text, student_id uuid, order_id text, amount bigint, field text, reason text, payload text,
    via text, parked_id bigint
);

-- An order that was paid in parts is named by its last one, with all that was paid: the others, which are less, buy nothing by
-- themselves. Two that are as much as the order each are an order paid twice, and for a person.
create function kc.parts_of(of_provider text, of_order text, named text, total bigint) returns setof payment language sql stable as $$
    select p.* from payment p where p.provider = of_provider and p.order_id = of_order and p.payment_id <> named and p.state = 'unnamed'
        and (select sum(x.amount) from payment x where x.provider = of_provider and x.order_id = of_order and x.payment_id <> named
            and x.state in ('unnamed', 'partial')) < total;
$$;

-- A payment has been named: what was parked because nobody had named it, and the other parts of its order, are dealt with.
create function kc.name_captures(of_provider text, named text, of_order text, total bigint, outcome text, at timestamptz) returns void
language plpgsql as $$
declare
    parts text[] := '{}';
begin
    if of_order is not null then
        parts := array(select p.payment_id from kc.parts_of(of_provider, of_order, named, total) p order by p.payment_id);
        update payment set state = 'partial', updated_at = at
            where provider = of_provider and payment_id = any (parts) and state = 'unnamed';
    end if;
    update parked set state = 'resolved', last_at = at,
            resolution = case when payment_id = named then outcome else 'a part of ' || named end
        where provider = of_provider and payment_id = any (named || parts) and stage = 'unnamed' and state = 'open';
end $$;

create function kc.take_unnamed(msgs kc.unnamed_msg[], at timestamptz) returns kc.verdict[] language plpgsql as $$
declare
    verdicts kc.verdict[];
begin
    insert into payment as old (provider, payment_id, state, order_id, amount, updated_at)
        select m.provider, m.payment_id, 'unnamed', m.order_id, m.amount, at from unnest(msgs) m order by m.provider, m.payment_id
        on conflict (provider, payment_id) do update set state = 'unnamed', order_id = coalesce(old.order_id, excluded.order_id),
                amount = coalesce(old.amount, excluded.amount), updated_at = at
            where kc.payment_rank(old.state) < kc.payment_rank('partial');
    -- nothing was written where more is known already: its row has to be waited for all the same
    perform from payment p join unnest(msgs) m using (provider, payment_id) order by p.provider, p.payment_id for update of p;
    select array_agg(row(m.i, d.outcome, x.purchase_id, case when d.outcome = 'parked' then m.field || ': ' || m.reason end, false)::kc.verdict)
        into verdicts
        from unnest(msgs) m join payment p using (provider, payment_id)
        left join purchase x on x.provider = m.provider and x.payment_id = m.payment_id
        left join lateral (select true as paid from payment n where n.provider = m.provider and n.order_id = m.order_id and n.state = 'captured'
            and exists (select from kc.parts_of(m.provider, m.order_id, n.payment_id, n.amount) y where y.payment_id = m.payment_id) limit 1) o on true
        cross join lateral (select case when x.purchase_id is not null then 'exists'
            -- a part, or captured for somebody: the reconciler sees to the purchase
            when o.paid or p.state = 'partial' or (p.state = 'captured' and p.student_id is not null) then 'ignored'
            else 'parked' end as outcome) d;
    update payment p set state = 'partial' from unnest(msgs) m join unnest(verdicts) v using (i)
        where p.provider = m.provider and p.payment_id = m.payment_id and p.state = 'unnamed' and v.outcome = 'ignored';
    insert into inbox (provider, event_id, payment_id, outcome, type, via, received_at)
        select distinct on (m.provider, m.event_id) m.provider, m.event_id, m.payment_id, v.outcome, 'PAYMENT_UNNAMED', m.via, at
        from unnest(msgs) m join unnest(verdicts) v using (i) order by m.provider, m.event_id
        on conflict do nothing;
    perform kc.park(array_agg(row('unnamed', m.field || ': ' || m.reason, m.field, m.provider, m.event_id, m.payment_id, m.student_id, m.payload,
            jsonb_build_object('via', m.via), 'unnamed:' || m.provider || ':' || m.payment_id)::kc.park_msg))
        from unnest(msgs) m join unnest(verdicts) v using (i) where v.outcome = 'parked' having count(*) > 0;
    update parked set state = 'resolved', resolution = v.outcome, last_at = at
        from unnest(msgs) m join unnest(verdicts) v using (i)
        where parked.provider = m.provider and parked.payment_id = m.payment_id and parked.stage = 'unnamed' and parked.state = 'open'
            and v.outcome <> 'parked';
    return verdicts;
end $$;
