-- Payments with more than one purchase and purchases with more than one allocation: the unique keys make both 0, and
-- this looks whether they do. Answered from those keys' indexes.
select (select count(*) from (select from purchase group by provider, payment_id having count(*) > 1) p)
     + (select count(*) from (select from allocation group by purchase_id having count(*) > 1) a)
