"""What a record of the business topic says to a projection: that the log of a student has got so far. Pure.

The record is a doorbell with a number on it; what happened is read from the log, which fills whatever did not come. So
a record twice, late, or never costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

SEQUENCE_HEADER = "ce_sequence"


class Published(Protocol):
    """A record, as far as it is read here."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Position(NamedTuple):
    """A student's log has got to ``seq``."""

    student_id: str
    seq: int


def position(record: Published) -> Position | None:
    """The position that a record tells; None for a stranger's record, which is not ours to judge."""
    for name, value in record.headers:
        if name == SEQUENCE_HEADER:
            try:
                student = str(UUID((record.key or b"").decode()))
                seq = int(value)
            except ValueError:
                return None
            return Position(student, seq) if seq > 0 else None
    return None


def furthest(records: Iterable[Published]) -> list[Position]:
    """One position for each student in the records: the furthest. Sorted, so that rows are taken in one order."""
    reached: dict[str, int] = {}
    for record in records:
        told = position(record)
        if told is not None and told.seq > reached.get(told.student_id, 0):
            reached[told.student_id] = told.seq
    return [Position(student, seq) for student, seq in sorted(reached.items())]
