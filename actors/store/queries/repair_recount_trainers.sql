select kc.recount_trainers(%(trainers)s::uuid[])
