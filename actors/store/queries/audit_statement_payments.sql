insert into statement_payment as old (provider, payment_id, state, amount, currency, captured_at)
    select provider, payment_id, state, amount, currency, captured_at
    from jsonb_to_recordset(%s::jsonb) as s (provider text, payment_id text, state text, amount bigint, currency text, captured_at timestamptz)
    order by provider, payment_id
on conflict (provider, payment_id) do update set state = excluded.state, amount = excluded.amount, currency = excluded.currency,
    captured_at = excluded.captured_at, read_at = now()
