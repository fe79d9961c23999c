"""Which students came in through which partition, so that they are put away when the partition moves.

Another node works for them from then on; an actor that stayed here would keep its memory and its place for nothing. Who
came by a webhook belongs to no partition and stays until it is idle. For one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from typing import Protocol

AT_ONCE = 500
"""Asked in one cycle, so that those who stay do not wait behind a whole partition of those who leave."""
TRIES = 3
TRY_AGAIN_S = 1.0
"""Who still waits for an answer is not put away, and asked again."""
SLACK = 10_000
"""Names kept of students who are not active any more, beside as many as are."""


class Students(Protocol):
    """What is needed of the directory."""

    @property
    def active(self) -> int:
        """How many are active."""

    def is_active(self, key: str) -> bool:
        """Whether this one is."""

    def put_away(self, key: str) -> bool:
        """Ask an actor to end unless it has anything to do; whether there is one."""


class Residents:
    """See the module."""

    def __init__(self, students: Students) -> None:
        self._students = students
        self._home: dict[str, Hashable] = {}
        self._owned: AbstractSet[Hashable] = frozenset()
        self._leaving: deque[tuple[float, str, int]] = deque()

    def came(self, student: str, partition: Hashable) -> None:
        """A record of the student was handed on."""
        self._home[student] = partition

    def owned(self, partitions: AbstractSet[Hashable], now_s: float) -> None:
        """These partitions are ours now; students of those that were ours before begin to leave."""
        gone = self._owned - partitions
        self._owned = partitions
        if not gone:
            return
        leaving = [student for student, partition in self._home.items() if partition in gone]
        for student in leaving:
            del self._home[student]
            self._leaving.append((now_s, student, TRIES))

    def see_off(self, now_s: float) -> None:
        """Ask some of those who leave."""
        for _ in range(min(AT_ONCE, len(self._leaving))):
            if self._leaving[0][0] > now_s:
                return
            _, student, tries = self._leaving.popleft()
            # Not in the meantime back with a record of a partition that is ours.
            if student not in self._home and self._students.put_away(student) and tries > 1:
                self._leaving.append((now_s + TRY_AGAIN_S, student, tries - 1))

    def forget_the_idle(self) -> None:
        """Keep the names of active students only, when there are far more."""
        if len(self._home) > 2 * self._students.active + SLACK:
            active = self._students.is_active
            self._home = {student: place for student, place in self._home.items() if active(student)}

    def __len__(self) -> int:
        return len(self._home)
