"""One round of the relay, as pure rules: which rows may be deleted, and which have not been announced by anybody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from actors.protocol.envelope import LoggedEvent

ROUND_BYTES_MAX = 700_000
"""Of all events of a round, headers included, so that a round is one batch."""
HEADER_BYTES = 500
"""Of one event: key, CloudEvents headers and the record's own, at most."""


class OutboxRow(msgspec.Struct, frozen=True, array_like=True):
    """A row that Kafka has not acknowledged, with its event."""

    id: int
    event: LoggedEvent


_decode = msgspec.json.Decoder(list[OutboxRow]).decode


def decode(text: str) -> list[OutboxRow]:
    """Read the rows of ``kc.claim_outbox``: one text costs less than half of nine columns a row."""
    return _decode(text)


def acknowledged(rows: Sequence[OutboxRow], arrived: Sequence[bool]) -> list[int]:
    """Ids that may be deleted: those that arrived and have no earlier row of their lane that did not.

    A row behind a failed one stays, so that the lane's suffix is sent again in order.
    """
    broken: set[str] = set()
    done: list[int] = []
    for row, ok in zip(rows, arrived, strict=True):
        if not ok:
            broken.add(row.event.student_id)
        elif row.event.student_id not in broken:
            done.append(row.id)
    return done


def fitting(rows: Sequence[OutboxRow], bytes_max: int = ROUND_BYTES_MAX) -> int:
    """How many of the first rows fit into one round; at least one, so that no row holds up the rest for ever."""
    total = 0
    for count, row in enumerate(rows):
        total += len(bytes(row.event.data)) + HEADER_BYTES
        if total > bytes_max and count:
            return count
    return len(rows)


def late(rows: Sequence[OutboxRow], now: datetime, after: timedelta, known: set[int]) -> list[OutboxRow]:
    """Rows whose writer should have announced them by now and may have died first; each is named once (``known``)."""
    found = [row for row in rows if row.id not in known and now - row.event.created_at > after]
    known.update(row.id for row in found)
    return found
