select kc.open_allocation(%s::uuid[])
