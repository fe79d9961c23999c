"""How often to look: each interval, but never more than a share of the time, however long a look takes. Pure."""

from __future__ import annotations

import msgspec

DUTY_MAX = 0.05
"""The share of its connection's time that looking may take: a table that has grown is looked at less often."""


class Duty(msgspec.Struct):
    """When one kind of look is due again. Times are monotonic seconds."""

    due_s: float = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether to look now."""
        return now_s >= self.due_s

    def done(self, started_s: float, ended_s: float, interval_s: float) -> None:
        """A look took this long."""
        self.due_s = max(started_s + interval_s, ended_s + (ended_s - started_s) / DUTY_MAX)
