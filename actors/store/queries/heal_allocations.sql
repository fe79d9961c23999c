select a.purchase_id from allocation a
where a.status = 'requested' and a.requested_at < now() - make_interval(secs => %s)
order by a.requested_at limit %s
