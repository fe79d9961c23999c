-- The tables. Money is in minor units, times are timestamptz, uuids are our own names or the outside's.
-- What guards a payment is the unique key of purchase, for ever; the inbox is a record and never decides.

create table service (
    one boolean primary key default true check (one),
    epoch text not null
);
insert into service (epoch) values (left(replace(gen_random_uuid()::text, '-', ''), 12));

create table course (
    course_id uuid primary key,
    title text not null
);

create table trainer (
    trainer_id uuid primary key,
    name text not null,
    capacity integer not null check (capacity >= 0),
    load integer not null default 0 check (load >= 0)
) with (fillfactor = 70);

create table trainer_course (
    trainer_id uuid not null references trainer on delete cascade,
    course_id uuid not null references course on delete cascade,
    primary key (course_id, trainer_id)
);
create index trainer_course_trainer on trainer_course (trainer_id);

-- One row a student: whoever holds it writes the student's next seq, so seq order is commit order.
create table lane (
    student_id uuid primary key,
    seq bigint not null default 0
) with (fillfactor = 70);

create table payment (
    provider text not null,
    payment_id text not null,
    state text not null default 'captured',
    student_id uuid,
    course_id uuid,
    tier integer,
    amount bigint,
    currency text,
    order_id text,
    captured_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (provider, payment_id)
);

create table purchase (
    purchase_id uuid primary key,
    provider text not null,
    payment_id text not null,
    student_id uuid not null,
    course_id uuid not null references course,
    tier integer not null check (tier between 1 and 1000),
    amount bigint not null check (amount >= 0),
    currency text not null,
    status text not null default 'paid'
        check (status in ('paid', 'partly_refunded', 'refunded', 'on_hold', 'revoked')),
    refunded bigint not null default 0,
    created_at timestamptz not null default now(),
    unique (provider, payment_id),
    check (refunded between 0 and amount)
) with (fillfactor = 90);
create index purchase_student_course on purchase (student_id, course_id);

create table allocation (
    allocation_id uuid primary key,
    purchase_id uuid not null unique references purchase,
    student_id uuid not null,
    course_id uuid not null,
    trainer_id uuid references trainer,
    status text not null default 'requested' check (status in ('requested', 'allocated', 'waitlisted', 'released')),
    -- counts the events told about this allocation, so that a second grant is a second event
    turn integer not null default 0,
    requested_at timestamptz not null default now(),
    check (status <> 'allocated' or trainer_id is not null)
) with (fillfactor = 70);
create index allocation_requested on allocation (requested_at) where status = 'requested';
create index allocation_waiting on allocation (course_id, requested_at) where status = 'waitlisted';
create index allocation_student on allocation (student_id, course_id);
create index allocation_trainer on allocation (trainer_id) where status = 'allocated';

create table refund (
    provider text not null,
    refund_id text not null,
    payment_id text not null,
    student_id uuid not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    status text not null check (status in ('pending', 'applied')),
    occurred_at timestamptz,
    created_at timestamptz not null default now(),
    applied_at timestamptz,
    primary key (provider, refund_id)
);
create index refund_payment on refund (provider, payment_id);

-- The mark. Others may have written rows here that promise more than they did: all but the key is optional.
create table inbox (
    provider text not null,
    event_id text not null,
    payment_id text,
    outcome text,
    type text,
    via text,
    payload jsonb,
    received_at timestamptz not null default now(),
    primary key (provider, event_id)
);
create index inbox_payment on inbox (provider, payment_id);
create index inbox_received on inbox using brin (received_at);

create table event (
    event_id uuid primary key,
    student_id uuid not null,
    seq bigint not null,
    type text not null,
    purchase_id uuid not null,
    -- tells repeated events of one type about one purchase apart: the refund's id, the allocation's turn
    turn text not null default '1',
    correlation_id text not null,
    data jsonb not null,
    created_at timestamptz not null default now(),
    unique (student_id, seq)
);
create index event_purchase on event (purchase_id);

-- What Kafka has not acknowledged. Rows leave by deletion, so that no cursor can pass a late committer.
create table outbox (
    id bigint generated always as identity (cache 1) primary key,
    shard smallint not null,
    event_id uuid not null,
    student_id uuid not null,
    seq bigint not null,
    created_at timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index outbox_shard on outbox (shard, id);

create table parked (
    id bigint generated always as identity primary key,
    stage text not null,
    reason text not null,
    field text,
    provider text,
    event_id text,
    payment_id text,
    student_id uuid,
    payload bytea not null,
    origin jsonb not null default '{}',
    fingerprint text not null,
    attempts integer not null default 1,
    state text not null default 'open' check (state in ('open', 'resolved', 'discarded')),
    resolved_by text,
    resolution text,
    first_at timestamptz not null default now(),
    last_at timestamptz not null default now()
);
create unique index parked_open on parked (fingerprint) where state = 'open';
create index parked_payment on parked (provider, payment_id) where state = 'open';

create table finding (
    id bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    detail jsonb not null default '{}',
    state text not null default 'open' check (state in ('open', 'fixed', 'gone')),
    first_at timestamptz not null default now(),
    last_at timestamptz not null default now()
);
create unique index finding_open on finding (kind, subject) where state = 'open';

create table operator_action (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    command text not null,
    arguments jsonb not null default '{}',
    dry_run boolean not null default false,
    result jsonb not null default '{}'
);
