"""What a reader of numbered events saw: everything once and in order, or what went wrong. Pure."""

from __future__ import annotations


class Sequence:
    """Follows one student's ``seq`` from ``after`` on; a number below the next one is a repetition."""

    __slots__ = ("holes", "last", "repeated")

    def __init__(self, after: int = 0) -> None:
        self.last = after
        self.holes = 0
        self.repeated = 0

    def see(self, seq: int) -> bool:
        """Takes the next number; whether it is one not seen before."""
        if seq <= self.last:
            self.repeated += 1
            return False
        self.holes += seq - self.last - 1
        self.last = seq
        return True
