select kc.reopen_allocation(%(purchase)s::uuid)
