"""How often to look at whole tables: each interval, but all kinds together only a share of the time.

A look is paid from a credit that grows with time. It may begin while there is credit and may overdraw it, so that one
that takes long is made all the same, and the next waits until it is paid for. Small tables are looked at whole at every
interval. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SHARE_MAX = 0.02
"""Of one core, for all looks of one duty in the long run, unless it is told otherwise."""


class Duty(msgspec.Struct):
    """Whose turn it is among several kinds of look. Times are monotonic seconds.

    Args:
        interval_s: between two rounds; what was not used in an interval is not kept for later.
        share: of the time, for all kinds together in the long run.
        at_once: kinds whose first look does not wait for credit.
    """

    interval_s: float
    share: float = SHARE_MAX
    at_once: frozenset[str] = frozenset()
    credit_s: float = 0.0
    counted_s: float | None = None
    began_s: dict[str, float] = {}

    def in_turn(self, kinds: Iterable[str]) -> list[str]:
        """The kinds, first the one whose last look is the longest ago."""
        return sorted(kinds, key=lambda kind: self.began_s.get(kind, float("-inf")))

    def is_due(self, kind: str, now_s: float) -> bool:
        """Whether to look now."""
        most_s = self.interval_s * self.share
        earned_s = most_s if self.counted_s is None else (now_s - self.counted_s) * self.share
        self.credit_s = min(self.credit_s + earned_s, most_s)
        self.counted_s = now_s
        return self.credit_s > 0 or (kind in self.at_once and kind not in self.began_s)

    def done(self, kind: str, began_s: float, ended_s: float) -> None:
        """A look took this long."""
        self.credit_s -= ended_s - began_s
        self.began_s[kind] = began_s
