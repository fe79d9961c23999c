"""An open webhook while it waits for its verdict, and the one timer that gives up those that wait too long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from actors.protocol.outcome import Settled
from gateway.bridge import Bridge

Verdict = Settled | Exception
"""What became of a webhook: what the actors said, or why it was not, or not in time, brought to them."""


class WaitingWebhook:
    """The source of one event: an open request.

    Its verdict comes from an actor's thread and is told in the loop. The first one counts: after the deadline the event
    may stand all the same, and the provider's next try will hear so.
    """

    __slots__ = ("_bridge", "_tell")

    def __init__(self, bridge: Bridge, tell: Callable[[Verdict], object]) -> None:
        self._bridge = bridge
        self._tell: Callable[[Verdict], object] | None = tell

    def settle(self, settled: Settled) -> None:
        """Called by an actor, from its thread."""
        self._bridge.post(self.end, settled)

    def end(self, verdict: Verdict) -> None:
        """Tell the verdict, in the loop; a second one is dropped."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(verdict)

    @property
    def ended(self) -> bool:
        """Whether a verdict was told."""
        return self._tell is None


class Deadlines:
    """Ends every webhook that has waited for ``after_s`` seconds. All wait equally long, so the oldest is due first.

    One timer for all takes 0.3 microseconds a webhook, ``asyncio.timeout`` for each took 4.5.
    """

    def __init__(self, bridge: Bridge, after_s: float, late: Callable[[], Exception]) -> None:
        self._bridge = bridge
        self._after_s = after_s
        self._late = late
        self._waiting: deque[tuple[float, WaitingWebhook]] = deque()
        self._armed = False

    def watch(self, webhook: WaitingWebhook) -> None:
        """Its time begins now. Called in the loop."""
        loop = self._bridge.loop
        if loop is None:
            # The loop is about to end, and all that waits in it.
            return
        waiting = self._waiting
        while waiting and waiting[0][1].ended:
            waiting.popleft()
        waiting.append((loop.time() + self._after_s, webhook))
        if not self._armed:
            self._armed = True
            loop.call_at(waiting[0][0], self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        waiting = self._waiting
        while waiting and (waiting[0][1].ended or waiting[0][0] <= now_s):
            waiting.popleft()[1].end(self._late())
        self._armed = bool(waiting)
        if waiting:
            loop.call_at(waiting[0][0], self._sweep, loop)
