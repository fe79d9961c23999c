-- What operators and projections need beside the work itself.

-- The log before this moment may have been removed by retention: nobody may take its absence for a loss.
alter table service add column events_since timestamptz not null default '-infinity';

-- How far each of our own consumers of business events is with each student. The log fills what it did not see.
create table consumer_lane (
    consumer text not null,
    student_id uuid not null,
    last_seq bigint not null,
    primary key (consumer, student_id)
) with (fillfactor = 70);

-- The nodes that run a consumer. What was published after caught_up_at it may not have seen yet.
create table consumer_member (
    consumer text not null,
    member text not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    caught_up_at timestamptz,
    primary key (consumer, member)
);

create table session_plan (
    purchase_id uuid primary key references purchase,
    student_id uuid not null,
    course_id uuid not null,
    sessions_total integer not null,
    status text not null default 'planned' check (status in ('planned', 'cancelled')),
    planned_at timestamptz not null default now()
) with (fillfactor = 90);

-- What a payment provider says of its own payments, as far as its statements have been read.
create table statement_payment (
    provider text not null,
    payment_id text not null,
    state text not null,
    amount bigint not null,
    currency text not null,
    captured_at timestamptz not null,
    read_at timestamptz not null default now(),
    primary key (provider, payment_id)
);
create table statement_span (
    provider text not null,
    covered_from timestamptz not null,
    covered_to timestamptz not null,
    read_at timestamptz not null default now(),
    primary key (provider, covered_from, covered_to)
);

create index event_created on event using brin (created_at);
create index payment_order on payment (provider, order_id) where order_id is not null;
