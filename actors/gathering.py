"""How long one rests before one takes more, so that what comes densely comes together. Pure.

A fetch costs the client 2 ms and the broker half of that, however little it brings, and everything behind it (a
student's turn, a transaction, an announcement) is cheaper for ten payments than ten times for one. Without a rest a
node asks the sooner the less it has to do, and two cores were busy at 300 payments a second as at 1,500. Network cards
and PostgreSQL's ``commit_delay`` with ``commit_siblings`` do the same: nobody waits while little happens.

Ingest rests before a poll, and the allocator after a transaction.
"""

from __future__ import annotations

from typing import Final

FROM_PER_S: Final = 600.0
"""Of them a second, from which on one rests: below it each payment is on its way at once."""
TOGETHER: Final = 32
"""How many a rest waits for, as the rate has been."""
MOST_S: Final = 0.02
FADE_S: Final = 0.5
"""How long ago they came that still count for much."""


class Gathering:
    """Knows how densely they have come. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._per_s = 0.0
        self._seen_s = float("-inf")
        self._asked_s = float("-inf")

    def came(self, count: int, now_s: float) -> None:
        """So many came at once, or none."""
        passed_s = now_s - self._seen_s
        self._seen_s = now_s
        share = passed_s / (passed_s + FADE_S) if passed_s < float("inf") else 1.0
        if passed_s > 0:
            self._per_s += (count / passed_s - self._per_s) * share

    def rest_s(self, now_s: float, unread: int = 0) -> float:
        """How long to rest now, before more is taken.

        Args:
            now_s: monotonic.
            unread: how many are known to wait already. A fetch need not bring all that the broker has: it may give one
                batch of each partition, and whoever rested between two fetches would fall ever further behind.
        """
        # the last rest was not taken where there were records left of an earlier fetch
        since_s, self._asked_s = max(0.0, now_s - self._asked_s), now_s
        if self._per_s < FROM_PER_S or unread >= TOGETHER:
            return 0.0
        rest_s = max(0.0, min(MOST_S, TOGETHER / self._per_s) - since_s)
        self._asked_s += rest_s
        return rest_s
