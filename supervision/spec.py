"""How a child is declared: OTP's child spec, in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pykka

from supervision.backoff import Backoff
from supervision.budget import Budget
from supervision.failure import Classify, PoisonPolicy, classify_by_type

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor.

    Args:
        name: Unique among its siblings; a step of the path, so without "/".
        factory: Makes a fresh behaviour; called again for every restart, in the child's own turn.
        restart: `permanent` always comes back, `transient` only after a failure, `temporary` never.
        stop_timeout_s: How long a stop may take. Then what is queued is given up, and a child stuck in a turn
            is abandoned.
        drain: Whether a stop lets the child handle what is queued first.
        budget: Restarts of this child alone; beyond it the supervisor gives up.
        backoff: Pause before each restart.
        poison: What happens to a message whose handler raised.
        classify: Sorts exceptions of handlers.
        dispatcher: Overrides the class's dispatcher.
        mailbox_limit: Overrides the class's mailbox bound.
    """

    name: str
    factory: Callable[[], pykka.Actor]
    restart: Restart = "permanent"
    stop_timeout_s: float = 5.0
    drain: bool = True
    budget: Budget = field(default_factory=Budget)
    backoff: Backoff = field(default_factory=Backoff)
    poison: PoisonPolicy = field(default_factory=PoisonPolicy)
    classify: Classify = classify_by_type
    dispatcher: str | None = None
    mailbox_limit: int | None = None

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"child name {self.name!r} must be non-empty and without '/'")
        if self.restart not in ("permanent", "transient", "temporary"):
            raise ValueError(f"restart {self.restart!r} is not permanent, transient or temporary")
        if self.stop_timeout_s < 0:
            raise ValueError("stop_timeout_s must not be negative")


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """What a supervisor watches over. Children start in this order and stop in the reverse order."""

    children: tuple[ChildSpec, ...] = ()
    strategy: Strategy = "one_for_one"
    budget: Budget = field(default_factory=lambda: Budget(max_restarts=10, within_s=10.0))

    def __post_init__(self) -> None:
        if self.strategy not in ("one_for_one", "one_for_all", "rest_for_one"):
            raise ValueError(f"strategy {self.strategy!r} is not one_for_one, one_for_all or rest_for_one")
        names = [child.name for child in self.children]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two children of one name: {', '.join(sorted(twice))}")
