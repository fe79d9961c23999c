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
    with connection.two_trips() as trips:
        opened = _opened(trips.first("open_allocation", f"{{{','.join(map(str, purchases))}}}".encode()))
        reach("allocator.opened")
        decisions = decide(opened)
        if decisions:
            text = msgspec.json.encode(decisions)
            reach("allocator.before_commit")
            events = _logged(trips.last("close_allocation", text))
    reach("allocator.committed")
    return decisions, events
