select * from kc.claim_outbox(%(space)s, %(most)s)
