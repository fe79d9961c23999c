"""What went wrong, and whose fault it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from supervision.backoff import Backoff
from supervision.errors import DependencyUnavailable, PoisonMessage


class FailureKind(StrEnum):
    """Sorted by what must happen next."""

    POISON = "poison"
    """The message is at fault, the state is sound: dispose of the message, go on."""
    DEPENDENCY = "dependency"
    """Something outside is away, the state is sound: keep the message, wait, try again. Costs no restart."""
    BUG = "bug"
    """Nobody knows what the state is now: restart."""


Classify = Callable[[BaseException], FailureKind]


def classify_by_type(error: BaseException) -> FailureKind:
    """The default: `PoisonMessage` is poison, `DependencyUnavailable` is dependency, all else is a bug."""
    if isinstance(error, PoisonMessage):
        return FailureKind.POISON
    if isinstance(error, DependencyUnavailable):
        return FailureKind.DEPENDENCY
    return FailureKind.BUG


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of one actor. `phase` is `init`, `on_start`, `receive`, `on_stop` or `children`."""

    kind: FailureKind
    error: BaseException
    phase: str
    at_s: float
    message: Any = None
    attempts: int = 1


Park = Callable[[str, Any, Failure], None]
"""`park(name_or_key, message, failure)`: the owner takes the message over, durably if it must.

Called in the actor's turn.
"""


@dataclass(frozen=True, slots=True)
class PoisonPolicy:
    """What happens to a message whose handler raised (`tell`; an ask has its answer and is never retried).

    The lane (everything behind the message) waits while it is retried. A bug is retried `retries` times, each time on a
    restarted actor; a dependency failure `dependency_retries` times (None: for ever); poison never. Then the
    message goes to `park` if given, else to the dead letters.
    """

    retries: int = 0
    dependency_retries: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    park: Park | None = None
