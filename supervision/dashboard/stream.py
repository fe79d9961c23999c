"""Live views: how many may look at once, for how long, and how news reach them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from supervision.dashboard.access import Refused
from supervision.system import System
from supervision.vitals import Incident

NEWS_MAX = 200
"""Incidents held for one slow viewer; beyond it the oldest are dropped, and the list of incidents still has them."""


class Viewers:
    """Seats for live views, so that looking stays bounded.

    Args:
        seats: how many may look at once; more are refused with 503 ``too_many_viewers``.
        lease_s: how long one look lasts; then the page says so, and goes on when somebody is there to ask for it.
        every_s: the period of refreshing.
    """

    def __init__(self, *, seats: int, lease_s: float, every_s: float) -> None:
        self._seats = seats
        self.lease_s = lease_s
        self.every_s = every_s
        self.taken = 0
        self.closed = False

    def take(self) -> Seat:
        """A seat. Raises :class:`Refused`."""
        if self.taken >= self._seats:
            raise Refused(
                503,
                "too_many_viewers",
                f"{self._seats} live views are open already.",
                headers={"retry-after": "10"},
            )
        return Seat(self)


class Seat:
    """One live view; it counts from the first to the last thing it sends."""

    def __init__(self, viewers: Viewers) -> None:
        self._viewers = viewers
        self.lease_s = viewers.lease_s

    async def holding(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        """Pass the events on while the seat is taken."""
        self._viewers.taken += 1
        try:
            async for one in events:
                yield one
        finally:
            self._viewers.taken -= 1


@contextmanager
def incidents_into(system: System) -> Iterator[asyncio.Queue[Incident]]:
    """A queue of this loop that gets each incident of the system, from whatever thread."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Incident] = asyncio.Queue()

    def put(incident: Incident) -> None:
        if queue.qsize() >= NEWS_MAX:
            queue.get_nowait()
        queue.put_nowait(incident)

    def tell(incident: Incident) -> None:
        try:
            loop.call_soon_threadsafe(put, incident)
        except RuntimeError:
            # The loop has ended, and its viewers with it.
            return

    unsubscribe = system.vitals.subscribe(tell)
    try:
        yield queue
    finally:
        unsubscribe()


def event(name: str, data: str | None) -> str:
    """One server-sent event; ``retry`` is the pause before a browser connects again, in milliseconds."""
    if data is None:
        return "retry: 2000\n\n"
    lines = "\n".join(f"data: {line}" for line in data.splitlines())
    return f"event: {name}\n{lines}\n\n"
