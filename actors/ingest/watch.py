"""The watchdog of the consumer: a call into the client that does not return is broken off.

If that does not help, ingest is taken from its thread and made anew. kafka-python waits for its IO thread without a
bound, so a hung call would otherwise be a node that is alive, beats, keeps its partitions and reads nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from supervision import Actor

logger = logging.getLogger(__name__)

TICKS_PER_BOUND = 8


class Step(StrEnum):
    """What to do about a call."""

    NOTHING = "nothing"
    BREAK_OFF = "break_off"
    RESTART = "restart"


def next_step(silent_s: float, stuck_s: float, last: Step) -> Step:
    """Break a call off after ``stuck_s``; restart after twice that, once."""
    if silent_s < stuck_s:
        return Step.NOTHING
    if silent_s < 2 * stuck_s or last is Step.NOTHING:
        return Step.BREAK_OFF
    return Step.RESTART


class ClientCalls:
    """The call into the client that goes on now, if any. Written by ingest's thread, read by the watchdog's."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since_s: float | None = None
        self.break_off: Callable[[str], None] = _nothing_to_break_off

    def __enter__(self) -> None:
        self._since_s = self._now()

    def __exit__(self, *_: object) -> None:
        self._since_s = None

    def silent_s(self) -> float:
        """How long it has lasted; 0 where there is none."""
        since_s = self._since_s
        return 0.0 if since_s is None else self._now() - since_s


def _nothing_to_break_off(_reason: str) -> None:
    """There is no client yet."""


class IngestWatch(Actor):
    """See the module.

    Args:
        restart: take ingest from its thread.
        stuck_s: how long a call may last; well above its longest own timeout.
    """

    dispatcher: ClassVar[str] = "shared"

    def __init__(self, calls: ClientCalls, restart: Callable[[], None], stuck_s: float) -> None:
        super().__init__()
        self._calls = calls
        self._restart = restart
        self._stuck_s = stuck_s
        self._last = Step.NOTHING

    def on_start(self) -> None:
        """Look several times within the bound."""
        interval_s = self._stuck_s / TICKS_PER_BOUND
        self._timer = self.context.timers.tell_every(interval_s, self.actor_ref, "tick")

    def on_stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def on_receive(self, message: Any) -> None:
        """One look."""
        del message
        silent_s = self._calls.silent_s()
        step = next_step(silent_s, self._stuck_s, self._last)
        if step is self._last:
            return
        self._last = step
        if step is Step.BREAK_OFF:
            logger.error("a call into the Kafka client has lasted %.1f s: breaking it off", silent_s)
            self._calls.break_off(f"no answer for {silent_s:.1f} s")
        elif step is Step.RESTART:
            logger.error("the Kafka client does not let go after %.1f s: restarting ingest", silent_s)
            self._restart()
