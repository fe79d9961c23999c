create table if not exists public.kcactors_migration (
    name text primary key,
    applied_at timestamptz not null default now()
)
