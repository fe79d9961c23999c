-- Captures that nobody has named yet: few, and asked for by each payment of an order.
create index payment_unnamed on payment (provider, order_id) where state = 'unnamed';
