"""How a command ends: the exit codes, and the failures that choose them.

Whoever runs `kcactors` from a script can act on the code alone: 1 means look at the findings, 2 means change
the command or its settings, 3 means wait for the named service and try again.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes of every verb."""

    DONE = 0
    NOT_KEPT = 1
    WRONG_USE = 2
    SERVICE_AWAY = 3


class Failure(Exception):
    """A verb cannot go on. ``code`` is its exit code; the text says what to do about it."""

    code = Exit.NOT_KEPT

    def report(self) -> dict[str, Any]:
        """What ``--json`` prints instead of the result."""
        return {"ok": False, "error": str(self)}


class NotKept(Failure):
    """The promise or a check failed, findings stand, or a dry run has something to do."""


class WrongUse(Failure):
    """The command, a file given to it, or a setting is wrong."""

    code = Exit.WRONG_USE


class ServiceAway(Failure):
    """A service that this verb needs cannot be reached.

    Args:
        service: as an operator calls it: PostgreSQL, Redis, Kafka, or the address of a node.
        reason: what the attempt came to.
    """

    code = Exit.SERVICE_AWAY

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service} cannot be reached: {reason}")
        self.service = service

    def report(self) -> dict[str, Any]:
        """The result of a verb in JSON, naming the service."""
        return {**super().report(), "service": self.service}
