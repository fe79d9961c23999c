"""One transaction of allocation: lock and read, decide by the pure rule, write. Nodes and operators do it this way."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from actors.allocation.rule import Decision, Opened, decide
from actors.failpoint import reach
from actors.protocol.envelope import LoggedEvent
from actors.store.connection import Connection

_opened = msgspec.json.Decoder(Opened).decode
_logged = msgspec.json.Decoder(list[LoggedEvent]).decode


def allocate(connection: Connection, purchases: Sequence[UUID]) -> tuple[list[Decision], list[LoggedEvent]]:
    """Decide the open allocations of these purchases; the decisions that were made, and the events that they logged.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`; nothing was written then.
    """
    events: list[LoggedEvent] = []
    with connection.transaction():
        opened = _opened(connection.rows("open_allocation", (list(purchases),))[0][0])
        reach("allocator.opened")
        decisions = decide(opened)
        if decisions:
            text = msgspec.json.encode(decisions).decode()
            events = _logged(connection.rows("close_allocation", (text,))[0][0])
            reach("allocator.before_commit")
    reach("allocator.committed")
    return decisions, events
