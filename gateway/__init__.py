"""The door: webhooks in, and each student's log out to every screen, once and in order.

    webhook ─► route ─► provider (signature, table of events) ─► intake ─► … ─► 200 when it stands in the database

    Redis ring ─► hub ─► feed of each reader ─┬─► session ─► WebSocket
    log page  ─► follower ─► ────────────────┼─► stream  ─► server-sent events
                                              └─► route   ─► long poll

The log in the database is the only source; a ring from Redis says that something stands there, and carries its text to
save a read. So a ring may be lost, doubled, late or a lie. What decides is pure and tested without sockets:

* ``resume`` judges a cursor, from three numbers;
* ``feed`` is one reader's place in the log: merge, heal, lag, reset;
* ``session`` is ``kc.v1``: frames, deadlines, limits, close codes.

Around them: ``follower`` (reads what a feed needs), ``hub`` (who listens to whom; pings, polls, reconnects for all at
once), ``logbook`` (heads in batches, few replays at a time), ``websocket`` and ``stream`` (the sockets), ``views`` (the
cached views), ``door`` (all of it together), ``app`` (routes), ``actor`` (the gateway's place in the supervision tree),
``client`` (for browsers and for Python). ``documents`` describes it all from the types that the code reads with.
"""
