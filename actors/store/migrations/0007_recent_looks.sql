-- The reconciler reads what came lately by these, not the whole tables. Ranges of 32 pages instead of 128, since a look reads the
-- last ones whole; what is written behind the last summary is read by every look, so it is summarized as it fills.
create index payment_updated on payment using brin (updated_at) with (pages_per_range = 32, autosummarize = on);
create index purchase_created on purchase using brin (created_at) with (pages_per_range = 32, autosummarize = on);
drop index inbox_received;
create index inbox_received on inbox using brin (received_at) with (pages_per_range = 32, autosummarize = on);
