"""How many restarts are too many: OTP's intensity and period. Pure, with time passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `max_restarts` within any `within_s` seconds (OTP `intensity` and `period`; supervisor.erl)."""

    max_restarts: int = 3
    within_s: float = 5.0

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or self.within_s <= 0:
            raise ValueError("budget needs max_restarts >= 0 and within_s > 0")


class RestartWindow:
    """The restarts that still count against one budget."""

    __slots__ = ("_moments_s", "budget")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._moments_s: deque[float] = deque()

    def charge(self, now_s: float) -> bool:
        """Count one restart at `now_s`; False when that is one too many."""
        while self._moments_s and self._moments_s[0] <= now_s - self.budget.within_s:
            self._moments_s.popleft()
        self._moments_s.append(now_s)
        return len(self._moments_s) <= self.budget.max_restarts
