select kc.next_waiting(%s)
