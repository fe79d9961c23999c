"""How long the broker may hold back an empty fetch. Pure.

A broker that answers as soon as something comes costs nothing by holding a fetch back for long. The embedded one does
not, so there the wait is short, and a node with nothing to do asked fifty times a second, at 8 % of a core.
"""

from __future__ import annotations

from typing import Final

QUIET_S: Final = 1.0
QUIET_WAIT_MS: Final = 100


class Patience:
    """Asks as often as it may while records come, and ten times a second after a second without any.

    Args:
        busy_ms: the wait while records come; a longer one than :data:`QUIET_WAIT_MS` stays as it is.
    """

    def __init__(self, busy_ms: int) -> None:
        self._busy_ms = busy_ms
        self._came_s = float("-inf")

    def came(self, now_s: float) -> None:
        """Records came, at this monotonic second."""
        self._came_s = now_s

    def wait_ms(self, now_s: float) -> int:
        """For the next fetch, in milliseconds."""
        return self._busy_ms if now_s - self._came_s < QUIET_S else max(self._busy_ms, QUIET_WAIT_MS)
