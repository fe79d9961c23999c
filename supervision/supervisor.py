"""The supervisor: an actor that only looks after others."""

from __future__ import annotations

from typing import ClassVar

from supervision.actor import Actor
from supervision.budget import Budget
from supervision.family import Family
from supervision.spec import ChildSpec, Strategy, SupervisorSpec


class Supervisor(Actor):
    """Starts its children in order, restarts them by strategy, stops them in reverse order.

    When a child fails more often than its own budget or the supervisor's allows, the supervisor takes all
    down and fails
    itself: its own supervisor decides. The root's failure is reported by `System.on_escalation`.

    Args:
        children: In order of start. A `ChildSpec` whose factory makes another `Supervisor` nests a tree.
        strategy: Who is restarted with a failed child: itself, all, or itself and those started after it.
        budget: Restarts of all children together.
    """

    dispatcher: ClassVar[str] = "internal"

    def __init__(
        self,
        children: tuple[ChildSpec, ...] | list[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        budget: Budget | None = None,
    ) -> None:
        super().__init__()
        spec = SupervisorSpec(tuple(children), strategy)
        self._spec = spec if budget is None else SupervisorSpec(spec.children, strategy, budget)

    def make_family(self) -> Family:
        return Family(self._own_cell(), self._spec)


def supervisor(
    name: str,
    children: tuple[ChildSpec, ...] | list[ChildSpec],
    *,
    strategy: Strategy = "one_for_one",
    budget: Budget | None = None,
    stop_timeout_s: float = float("inf"),
) -> ChildSpec:
    """The spec of a nested supervisor.

    Its stop waits for its children, whose own deadlines bound it (OTP: infinity).
    """
    fixed = tuple(children)
    return ChildSpec(
        name,
        lambda: Supervisor(fixed, strategy=strategy, budget=budget),
        stop_timeout_s=stop_timeout_s,
        drain=False,
    )
