-- The original failure, made by hand: a mark that says "processed" for a payment that has no purchase.
insert into inbox (provider, event_id, payment_id) values (%(provider)s, %(event_id)s, %(payment_id)s)
on conflict do nothing
