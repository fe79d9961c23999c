"""A member of the group that owns nothing: is it one too many, or was it left out?

A leader that does not know a topic's partitions yet shares out nothing, and then the group is content. Only the leader
knows how many members there are, so one who has nothing cannot tell. It asks the group to share out again, a few times
and more and more slowly, and then takes itself for a spare. Pure: time is passed in.
"""

from __future__ import annotations

import msgspec


class ShareLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The first time it asks after ``patience_s`` without a partition, each time after twice as long, ``asks`` times.

    A group shares out in two steps, and the first may take a slow broker seconds.
    """

    patience_s: float = 5.0
    asks: int = 4


class Share:
    """See the module."""

    def __init__(self, limits: ShareLimits | None = None) -> None:
        self._limits = limits or ShareLimits()
        self._asked = 0
        self._since_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether there is nothing here and there may still come something, so that this is a lack."""
        return self._since_s is not None and 0 < self._asked < self._limits.asks

    @property
    def spare(self) -> bool:
        """Whether it has asked often enough."""
        return self._asked >= self._limits.asks

    def must_ask(self, owned: int, now_s: float) -> bool:
        """Look at how many partitions are owned now; whether to ask the group to share out again."""
        if owned:
            self._asked, self._since_s = 0, None
            return False
        if self._since_s is None:
            self._since_s = now_s
        if self.spare or now_s - self._since_s < self._limits.patience_s * 2**self._asked:
            return False
        self._asked += 1
        self._since_s = now_s
        return True
