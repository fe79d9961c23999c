"""A timer wheel: one timer for a hundred thousand deadlines that mostly move before they are due. Time is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Remembers when an entry wants to be looked at, to the precision of ``grain_s``.

    An entry is in one slot at most. Looking early is harmless: the owner asks it for its next moment and puts it back.
    """

    def __init__(self, grain_s: float, now: float) -> None:
        self._grain_s = grain_s
        self._slots: dict[int, set[T]] = {}
        self._slot_of: dict[T, int] = {}
        self._next = self._slot(now)

    def put(self, entry: T, due_at: float) -> None:
        """Look at ``entry`` not before ``due_at`` and at most a grain later. An earlier appointment stands."""
        slot = max(self._slot(due_at) + 1, self._next)
        old = self._slot_of.get(entry)
        if old is not None:
            if old <= slot:
                return
            self._slots[old].discard(entry)
        self._slot_of[entry] = slot
        self._slots.setdefault(slot, set()).add(entry)

    def remove(self, entry: T) -> None:
        """Forget an entry."""
        slot = self._slot_of.pop(entry, None)
        if slot is not None:
            self._slots[slot].discard(entry)

    def due(self, now: float) -> Iterator[T]:
        """Take out every entry whose moment has come."""
        until = self._slot(now)
        while self._next <= until:
            # Moved on before the entries are seen: their owners put them back, and never into a slot that has passed.
            entries = self._slots.pop(self._next, ())
            self._next += 1
            for entry in entries:
                self._slot_of.pop(entry, None)
                yield entry

    def __len__(self) -> int:
        return len(self._slot_of)

    def _slot(self, at: float) -> int:
        return int(at / self._grain_s)
