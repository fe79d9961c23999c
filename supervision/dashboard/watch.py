"""The verdict on each message of an actor, taken down only while somebody looks at that actor.

A watched behaviour gets an ``on_receive`` of its own that notes what became of each message and passes it on; when the
lease ends it is taken off. So an actor that nobody looks at pays nothing at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from supervision.dashboard.describe import describe
from supervision.dashboard.lease import Leases
from supervision.ref import ActorRef
from supervision.system import System

VERDICTS_KEPT: Final = 32
WATCHED_MAX: Final = 16
LEASE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one message (or one batch) and how long it took. ``at_s`` is monotonic."""

    at_s: float
    message: str
    verdict: str
    seconds: float


class _Tap:
    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.behaviour: Any = None
        self.verdicts: deque[Verdict] = deque(maxlen=VERDICTS_KEPT)


class Watch:
    """The taps of one system. Safe from any thread; taps are set and taken off in the actors' own turns."""

    def __init__(self, system: System, lease_s: float = LEASE_S) -> None:
        self._system = system
        self._taps: dict[str, _Tap] = {}
        self._leases: Leases[str] = Leases(system.now, lease_s, WATCHED_MAX, self._take_off)
        self._sweeping = False

    @property
    def watched(self) -> int:
        """How many actors are watched now."""
        return self._leases.held

    def look(self, ref: ActorRef[Any]) -> list[Verdict]:
        """The newest verdicts first; from now on, for one lease, further ones are noted."""
        path = ref.path
        tap = self._taps.get(path)
        if tap is None or tap.ref.cell is not ref.cell:
            tap = self._taps[path] = _Tap(ref)
        self._leases.renew(path)
        if tap.behaviour is None or tap.behaviour is not ref.cell.behaviour:
            # Also after a restart: the fresh behaviour has no tap yet.
            self._system.inspect(ref, lambda behaviour: self._put_on(tap, behaviour))
        self._keep_sweeping()
        return list(reversed(tap.verdicts))

    def _put_on(self, tap: _Tap, behaviour: Any) -> None:
        if behaviour is None or tap.behaviour is behaviour:
            return
        name = _door(behaviour)
        setattr(behaviour, name, self._noting(tap, getattr(behaviour, name)))
        tap.behaviour = behaviour

    def _noting(self, tap: _Tap, inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
        now = self._system.now

        def note(message: Any, verdict: str, started_s: float) -> None:
            ended_s = now()
            tap.verdicts.append(Verdict(ended_s, describe(message), verdict, ended_s - started_s))

        def noted(message: Any) -> Any:
            started_s = now()
            try:
                result = inner(message)
            except BaseException as error:
                note(message, f"failed: {error!r}", started_s)
                raise
            note(message, "handled", started_s)
            return result

        return noted

    def _take_off(self, path: str) -> None:
        tap = self._taps.pop(path, None)
        if tap is None:
            return

        def off(behaviour: Any) -> None:
            if behaviour is not None and behaviour is tap.behaviour:
                behaviour.__dict__.pop(_door(behaviour), None)

        self._system.inspect(tap.ref, off)

    def _keep_sweeping(self) -> None:
        if self._sweeping:
            return
        self._sweeping = True

        def sweep() -> None:
            left_s = self._leases.sweep()
            if left_s is None:
                self._sweeping = False
            else:
                self._system.timers.call_after(max(0.05, left_s), sweep)

        self._system.timers.call_after(LEASE_S / 4, sweep)


def _door(behaviour: Any) -> str:
    """By which method messages come in."""
    return "on_batch" if behaviour.batch_max > 1 else "on_receive"
