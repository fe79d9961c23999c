"""The bridge from actors' threads into the asyncio loop: many items cross with one wake-up."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Bridge:
    """Carries calls into one loop, in order. :meth:`post` may be called from any thread and never blocks."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._awake = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on calls run in ``loop``; what was posted before runs first."""
        self.loop = loop
        loop.call_soon_threadsafe(self._run)

    def detach(self) -> None:
        """The loop is about to end."""
        self.loop = None

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Run ``call(*args)`` in the loop soon. Without a loop it is kept, until one is attached."""
        self._calls.append((call, args))
        loop = self.loop
        if self._awake or loop is None:
            return
        self._awake = True
        try:
            loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            # The loop was closed between the look and the call; whoever waits for an answer there is gone as well.
            self._awake = False

    def _run(self) -> None:
        # Cleared before the queue is emptied: a post that comes later than the last look wakes us again.
        self._awake = False
        while self._calls:
            call, args = self._calls.popleft()
            try:
                call(*args)
            except Exception:
                logger.exception("a call into the loop failed: %r", call)
