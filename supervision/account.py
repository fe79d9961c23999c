"""Conservation: every message that was accepted is somewhere, and this says where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Account:
    """Counts of messages. `refused` ones were never accepted, so they stand beside the sum."""

    accepted: int = 0
    handled: int = 0
    parked: int = 0
    dead: int = 0
    queued: int = 0
    stashed: int = 0
    refused: int = 0

    @property
    def error(self) -> int:
        """0 when all is accounted for. While actors work it may show the messages in hand, one per running turn."""
        return self.accepted - self.handled - self.parked - self.dead - self.queued - self.stashed

    def add(self, cell: Any) -> None:
        """Add the counts of one cell."""
        trouble = cell.trouble
        self.accepted += cell.accepted
        self.handled += cell.handled
        self.refused += cell.refused
        self.queued += len(cell.queue)
        if trouble is not None:
            self.parked += trouble.parked
            self.dead += trouble.dead
            self.stashed += len(trouble.stash) if trouble.stash is not None else 0

    def merge(self, other: Account) -> None:
        self.accepted += other.accepted
        self.handled += other.handled
        self.parked += other.parked
        self.dead += other.dead
        self.queued += other.queued
        self.stashed += other.stashed
        self.refused += other.refused
