-- From here on, nobody takes the absence of what is older for a loss.
update service set events_since = greatest(events_since, now() - make_interval(days => %(event_days)s))
