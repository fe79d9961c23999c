-- Messages that contradict what stands; found by the transaction itself, over once their parked row is dealt with.
select f.subject, f.detail::text, f.first_at from finding f
where f.kind = 'conflict' and f.state = 'open' and exists (
    select from parked k where k.state = 'open' and k.reason = 'conflict'
        and (k.event_id = f.detail ->> 'event_id' or k.payment_id = f.detail ->> 'payment_id'))
order by f.first_at limit %(most)s
