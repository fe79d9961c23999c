"""Retention: old marks and old events go, in small batches. Purchases and marks without effect stay for ever."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.store.connection import Connection


class RetentionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How old marks and events may get, how many go in one transaction, and how often a node looks for old ones.

    The events of a lane go together; then the oldest cursors are answered with a reset to the learning view.
    """

    interval_s: float = 3600.0
    inbox_days: int = 90
    event_days: int = 400
    batch_max: int = 500


class Old(msgspec.Struct, frozen=True):
    """Rows beyond their age."""

    inbox: int
    events: int


def count_old(connection: Connection, limits: RetentionLimits) -> Old:
    """How much there is to take."""
    return Old(*connection.rows("retention_count", msgspec.structs.asdict(limits))[0])


def take_old(
    connection: Connection, limits: RetentionLimits, pause: Callable[[], None] = lambda: None
) -> Old:
    """Take it all, each batch in a transaction of its own, with ``pause`` between two.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`; what went before it is gone.
    """
    values = msgspec.structs.asdict(limits) | {"most": limits.batch_max}
    # first the moment, then the rows: nobody may take what is missing for a loss
    if count_old(connection, limits).events:
        connection.run("retention_horizon", values)
    taken = {"retention_inbox": 0, "retention_events": 0}
    for statement in taken:
        while gone := connection.run(statement, values):
            taken[statement] += gone
            pause()
    return Old(taken["retention_inbox"], taken["retention_events"])
