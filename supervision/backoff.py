"""How long to wait before trying again: exponential with jitter. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by `factor` from `initial_s` to `max_s`, each shortened by up to `jitter` (a share, 0 to 1).

    Jitter only shortens, so `max_s` is a true bound ("equal jitter", Exponential Backoff And Jitter, AWS 2015).
    """

    initial_s: float = 0.1
    max_s: float = 30.0
    factor: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.initial_s < 0 or self.max_s < self.initial_s:
            raise ValueError("backoff needs 0 <= initial_s <= max_s")
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("backoff needs factor >= 1 and 0 <= jitter <= 1")

    def delay_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before attempt number `attempt` (1 is the first retry)."""
        # The exponent is capped because a long outage would overflow the float long before anybody looks.
        full_s = min(self.max_s, self.initial_s * self.factor ** min(max(attempt, 1) - 1, 64))
        return full_s * (1.0 - self.jitter * rng.random())


NO_BACKOFF = Backoff(initial_s=0.0, max_s=0.0)
