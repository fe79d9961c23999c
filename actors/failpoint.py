"""Places where a test may end the process: between two steps that must not be taken apart.

Off, a point is one call of a function that does nothing. Names are ``part.step``; the crash matrix of the tests
counts that each of them is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = (
    "ledger.before_apply",
    "ledger.applied",
    "allocator.opened",
    "allocator.before_commit",
    "allocator.committed",
    "relay.claimed",
    "relay.before_send",
    "relay.sent",
    "relay.before_delete",
    "relay.deleted",
    "ingest.polled",
    "ingest.handed_on",
    "ingest.before_commit",
    "ingest.committed",
    "ingest.assigned",
    "ingest.revoked",
    "ingest.drained",
    "ingest.drain_committed",
    "ingest.lost",
)
"""Every point there is."""


def _pass_by(_point: str) -> None:
    """Nobody looks."""


_hook: Callable[[str], None] = _pass_by


def reach(point: str) -> None:
    """This point is reached. Called from any thread."""
    _hook(point)


def install(hook: Callable[[str], None] | None) -> None:
    """Have ``hook`` called with each point that is reached; ``None`` ends it."""
    global _hook  # noqa: PLW0603  (one process, one hook: that is what makes it free when off)
    _hook = hook or _pass_by
