select kc.tell_missing(%(students)s::uuid[], %(renumber)s)
