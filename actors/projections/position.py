"""What a record of the business topic says to a projection: that the log of a student has got so far. Pure.

The record is a doorbell with a number on it; what happened is read from the log, which fills whatever did not come. So
a record twice, late, or never costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from actors.ingest.records import mark

SEQUENCE: Final = mark("ce_sequence")


class Published(Protocol):
    """A record, as far as it is read here."""

    @property
    def key(self) -> bytes | None: ...
    def header(self, named: bytes, /) -> bytes | None: ...


class Position(NamedTuple):
    """A student's log has got to ``seq``."""

    student_id: str
    seq: int


def furthest(records: Iterable[Published]) -> list[Position]:
    """One position for each student in the records: the furthest. Sorted, so that rows are taken in one order.

    A stranger's record tells nothing and is not ours to judge. Each key is read once, since records come in runs.
    """
    by_key: dict[bytes, int] = {}
    for record in records:
        key = record.key
        if key is not None and (seq := _sequence(record)) > by_key.get(key, 0):
            by_key[key] = seq
    reached: dict[str, int] = {}
    for key, seq in by_key.items():
        try:
            student = str(UUID(key.decode()))
        except ValueError:
            continue
        reached[student] = max(seq, reached.get(student, 0))
    return [Position(student, seq) for student, seq in sorted(reached.items())]


TRANSACTIONS_MOST = 16


def shares(positions: Sequence[Position], lanes_at_once: int) -> Iterator[Sequence[Position]]:
    """The positions in their order, as one transaction each takes them: all at once where ``lanes_at_once`` is 0.

    Payments of a student wait while a transaction holds the student's lane, and with them their ledger's batch: little
    is held at once while little comes. With much to do it is never more than so many transactions.
    """
    size = max(lanes_at_once, -(-len(positions) // TRANSACTIONS_MOST)) if lanes_at_once else len(positions)
    for at in range(0, len(positions), size or 1):
        yield positions[at : at + size]


def _sequence(record: Published) -> int:
    try:
        return int(record.header(SEQUENCE) or b"0")
    except ValueError:
        return 0
