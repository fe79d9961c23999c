"""The gateway's place in the supervision tree.

The gateway itself lives in the asyncio loop. This actor stands for it among the others: it asks the loop for a sign of
life every second, shows a stalled loop as what it is (a dependency that is away), and carries what other actors say
across the bridge.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

import msgspec

from gateway.door import Door
from supervision import Actor, ChildSpec, DependencyUnavailable, Timer

LOOK_S: Final = 1.0
STALLED_S: Final = 5.0
"""A loop that gave no sign for so long serves nobody."""


class Revoke(msgspec.Struct, frozen=True):
    """End every session that the student has on this node."""

    student_id: str


class Look(msgspec.Struct, frozen=True):
    """Time to look after the loop."""


class GatewayActor(Actor):
    """See the module's text."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door
        self._looks: Timer | None = None

    def on_start(self) -> None:
        self._looks = self.context.timers.tell_every(LOOK_S, self.actor_ref, Look())

    def on_stop(self) -> None:
        self._rest()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The next behaviour behind this ref starts a timer of its own.
        self._rest()

    def _rest(self) -> None:
        if self._looks is not None:
            self._looks.cancel()

    def on_receive(self, message: Any) -> None:
        door = self._door
        if isinstance(message, Revoke):
            door.bridge.post(door.hub.revoke, message.student_id)
        elif isinstance(message, Look):
            door.bridge.post(door.beat)
            silent_s = door.silent_s()
            if silent_s > STALLED_S:
                raise DependencyUnavailable(f"the gateway's loop has given no sign for {silent_s:.0f} s")


def gateway_child(door: Door) -> ChildSpec:
    """How the node declares the child ``gateway``."""
    return ChildSpec("gateway", lambda: GatewayActor(door))
