-- The one transaction: Kafka, webhooks, the reconciler and operators all end here. One call, one round trip, several
-- statements: each statement of a volatile function sees what others have committed by then, which a single large
-- statement does not, once it has waited for a lock.

--
-- The plans are made once and by index: planning some thirty statements for each call costs more than running them, and
-- statistics taken while the tables were empty would choose scans that stay chosen.

create function kc.apply(batch jsonb) returns text language plpgsql volatile
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    payments kc.payment_msg[] := '{}';
    refunds kc.refund_msg[] := '{}';
    disputes kc.dispute_msg[] := '{}';
    notices kc.notice_msg[] := '{}';
    unnamed kc.unnamed_msg[] := '{}';
    parks kc.park_msg[] := '{}';
    fresh kc.payment_msg[] := '{}';
    logged json;
    verdicts kc.verdict[] := '{}';
    more kc.verdict[];
    places uuid[] := '{}';
    students uuid[];
    lanes lane[] := '{}';
    at timestamptz;
begin
    -- a statement costs as much to begin as a row to write: what a batch does not hold is not looked at
    if batch ? 'payments' then
        payments := array(select m from jsonb_populate_recordset(null::kc.payment_msg, batch -> 'payments') m);
    end if;
    if batch ? 'refunds' then
        refunds := array(select m from jsonb_populate_recordset(null::kc.refund_msg, batch -> 'refunds') m);
    end if;
    if batch ? 'disputes' then
        disputes := array(select m from jsonb_populate_recordset(null::kc.dispute_msg, batch -> 'disputes') m);
    end if;
    if batch ? 'notices' then
        notices := array(select m from jsonb_populate_recordset(null::kc.notice_msg, batch -> 'notices') m);
    end if;
    if batch ? 'unnamed' then
        unnamed := array(select m from jsonb_populate_recordset(null::kc.unnamed_msg, batch -> 'unnamed') m);
    end if;
    if batch ? 'parks' then
        parks := array(select m from jsonb_populate_recordset(null::kc.park_msg, batch -> 'parks') m);
    end if;
    -- A provider need not say whose payment it speaks of. Where the purchase is not there to ask, nothing of a lane changes.
    for k in 1 .. cardinality(refunds) loop
        if refunds[k].student_id is null then
            refunds[k].student_id := (select p.student_id from purchase p where p.provider = refunds[k].provider and p.payment_id = refunds[k].payment_id);
        end if;
    end loop;
    for k in 1 .. cardinality(disputes) loop
        if disputes[k].student_id is null then
            disputes[k].student_id := (select p.student_id from purchase p where p.provider = disputes[k].provider and p.payment_id = disputes[k].payment_id);
        end if;
    end loop;
    if cardinality(payments) + cardinality(refunds) + cardinality(disputes) > 0 then
        students := array(select student_id from unnest(payments));
        if cardinality(refunds) + cardinality(disputes) > 0 then
            students := students || array(select student_id from unnest(refunds) where student_id is not null
                union all select student_id from unnest(disputes) where student_id is not null);
        end if;
        lanes := kc.lock_lanes(students);
    end if;
    -- read after the wait for the lanes, so that the times of a lane do not run backwards
    at := clock_timestamp();
    if cardinality(payments) > 0 then
        select s.fresh, s.others into fresh, payments from kc.sort_payments(payments) s;
        if cardinality(fresh) > 0 then
            select x.verdicts, x.logged into verdicts, logged from kc.take_fresh(fresh, lanes, at) x;
        end if;
        if cardinality(payments) > 0 then
            select x.places, x.verdicts into places, more from kc.take_payments(payments, at, places) x;
            verdicts := verdicts || more;
        end if;
    end if;
    if cardinality(refunds) > 0 then
        select x.places, x.verdicts into places, more from kc.take_refunds(refunds, at, places) x;
        verdicts := verdicts || more;
    end if;
    if cardinality(disputes) > 0 then
        select x.places, x.verdicts into places, more from kc.take_disputes(disputes, at, places) x;
        verdicts := verdicts || more;
    end if;
    if cardinality(notices) > 0 then
        verdicts := verdicts || kc.take_notices(notices, at);
    end if;
    if cardinality(unnamed) > 0 then
        verdicts := verdicts || kc.take_unnamed(unnamed, at);
    end if;
    if cardinality(parks) > 0 then
        perform kc.park(parks);
    end if;
    if cardinality(places) > 0 then
        perform kc.free_places(places);
    end if;
    -- fresh payments alone have told what they logged
    if logged is null or cardinality(payments) + cardinality(refunds) + cardinality(disputes) > 0 then
        logged := kc.logged_since(lanes);
    end if;
    return json_build_object(
        'verdicts', (select coalesce(json_agg(json_build_array(v.i, v.outcome, v.purchase_id, v.detail, coalesce(v.allocate, false))), '[]')
            from unnest(verdicts) v),
        'events', logged)::text;
end $$;
