"""A brake for storms: who brings one payment again and again waits a moment for each answer, and the others don't.

A duplicate is answered from memory, so a provider gone wild with a few connections is served as fast as it asks, and
takes the core that everybody else's commits need. Its answers are spaced instead of refused: a provider that is told
"no" would only come again. While nobody else asks, it is served as fast as it asks. The rule is the virtual
scheduling of the generic cell rate algorithm (ITU-T I.371).
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

KEPT_MAX: Final = 4_096
"""Purchases whose last answers are remembered before those whose time is over are looked for."""
OTHERS_S: Final = 1.0
"""How long somebody who asked in moderation is thought of."""


class RepeatBrake:
    """Says how long an answer about a purchase should wait. Time is passed in, in seconds.

    Args:
        per_s: answers a second about one purchase in the long run.
        burst: answers about one purchase that never wait.
        pause_max_s: an answer that had to wait longer does not wait at all, and does not count: whoever opens a
            connection for each duplicate is not slowed by waiting, and would only pile up here.
    """

    def __init__(self, per_s: float, burst: int, pause_max_s: float) -> None:
        self._each_s = 1 / per_s
        self._free_s = burst / per_s
        self._pause_max_s = pause_max_s
        self._due_s: dict[UUID, float] = {}
        self._others_s = float("-inf")

    def pause_s(self, purchase_id: UUID, now_s: float) -> float:
        """Seconds that this answer should wait; mostly 0."""
        due_s = max(self._due_s.get(purchase_id, now_s), now_s)
        pause_s = due_s - now_s - self._free_s
        if pause_s <= 0:
            self._others_s = now_s
        elif pause_s > self._pause_max_s:
            return 0.0
        if len(self._due_s) >= KEPT_MAX:
            self._forget(now_s)
        self._due_s[purchase_id] = due_s + self._each_s
        return pause_s if pause_s > 0 and now_s - self._others_s < OTHERS_S else 0.0

    def _forget(self, now_s: float) -> None:
        self._due_s = {purchase: due_s for purchase, due_s in self._due_s.items() if due_s > now_s}
        if len(self._due_s) >= KEPT_MAX:
            # So many storms at once are none: they share the node as everybody does.
            self._due_s.clear()
