-- Disputes, and refunds that a provider reports without saying whose they are or as a running total.

create table dispute (
    provider text not null,
    dispute_id text not null,
    payment_id text not null,
    student_id uuid,
    -- forward only, in this order: a dispute that was won may be lost at a higher instance
    status text not null check (status in ('open', 'won', 'lost')),
    amount bigint,
    currency text,
    occurred_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (provider, dispute_id)
);
create index dispute_payment on dispute (provider, payment_id);

alter table refund alter column student_id drop not null;
-- counted: known by its own id, while its money stands in a row made from a running total
alter table refund drop constraint refund_status_check;
alter table refund add constraint refund_status_check check (status in ('pending', 'applied', 'counted'));
-- the running total that the row brought the payment to; null for a refund known by its own id
alter table refund add column upto bigint;
