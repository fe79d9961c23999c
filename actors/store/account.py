"""What stands in the database for some students: the ground on which the promise is checked after a load.

It reads the tables themselves and trusts no counter of the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from actors.store.connection import Connection, ConnectionLimits


class Progress(msgspec.Struct, frozen=True):
    """How far the work for the students is. ``unplanned`` counts only while somebody plans sessions."""

    purchases: int
    requested: int
    unpublished: int
    events: int
    unplanned: int = 0


class Allocations(msgspec.Struct, frozen=True):
    """Allocations of the students' purchases: with a trainer, waiting, beyond one for a purchase, and missing."""

    allocated: int
    waitlisted: int
    doubled: int
    missing: int


class Lane(msgspec.Struct, frozen=True):
    """One student's events: how many, the highest ``seq``, the lane's ``seq``, and how many repeat another."""

    student_id: str
    events: int
    highest: int
    seq: int
    doubled: int

    @property
    def whole(self) -> bool:
        """Whether the numbers run from 1 to the lane's without a hole."""
        return self.events == self.highest == self.seq


class Account:
    """A reader of its own connection, for one thread. Every method raises `StoreError`."""

    def __init__(self, database_url: str) -> None:
        self._connection = Connection(database_url, "account", ConnectionLimits(statement_timeout_s=60.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def progress(self, students: Sequence[str]) -> Progress:
        return Progress(*self._connection.rows("account_progress", {"students": students})[0])

    def count(self, students: Sequence[str]) -> int:
        """How many purchases the students have."""
        return int(self._connection.rows("account_count", {"students": students})[0][0])

    def purchases(self, students: Sequence[str]) -> list[tuple[str, str]]:
        """Payment id and status of each purchase."""
        return [
            (row[0], row[1]) for row in self._connection.rows("account_purchases", {"students": students})
        ]

    def visible(self, provider: str, payments: Sequence[str]) -> list[str]:
        """Those of the payments that have a purchase by now."""
        values = {"provider": provider, "payments": list(payments)}
        return [row[0] for row in self._connection.rows("account_visible", values)]

    def allocations(self, students: Sequence[str]) -> Allocations:
        return Allocations(*self._connection.rows("account_allocations", {"students": students})[0])

    def lanes(self, students: Sequence[str]) -> list[Lane]:
        rows = self._connection.rows("account_events", {"students": students})
        return [Lane(str(row[0]), *row[1:]) for row in rows]

    def refunds(self, students: Sequence[str]) -> int:
        """Refunds that were applied."""
        return int(self._connection.rows("account_refunds", {"students": students})[0][0])

    def wrong_trainers(self) -> int:
        """Trainers, of all, whose load is not the number of their allocations or is above their capacity."""
        return int(self._connection.rows("account_trainers")[0][0])

    def plant_mark(self, provider: str, event_id: str, payment_id: str) -> None:
        """Breaks the database the way it was once broken: a mark without the effect."""
        values = {"provider": provider, "event_id": event_id, "payment_id": payment_id}
        self._connection.run("plant_mark", values)
