"""The learning and home views, kept in Redis without ever being stale.

A view is filed under the place in the log at which it was read. A reader first learns the log's head (one small read,
shared by everybody who asks at that moment) and takes only what is filed under it. So nothing has to be invalidated
before an event is announced, a writer that was overtaken files its view where nobody looks any more, and a Redis that
lost or kept too much cannot make a screen older than the log. What changes without an event (a course's title) shows
after ``view_cache_s`` at the latest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from actors.doorbell import DoorbellAway, DoorbellShelf, view_key
from gateway.limits import GatewayLimits
from gateway.logbook import Head, Logbook
from gateway.ports import Reads, ViewHead

logger = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""How long the shelf is left alone after it did not answer."""
POLL_S: Final = 0.05

_head = msgspec.json.Decoder(ViewHead)


class NotThereYet(Exception):
    """The log has not reached the asked ``min_seq`` in time."""


class Views:
    """See the module's text.

    Args:
        shelf: where views are kept; None keeps none.
        on_answer: told the view's name and whether it came from ``cache`` or ``database``.
    """

    def __init__(
        self,
        reads: Reads,
        logbook: Logbook,
        shelf: DoorbellShelf | None,
        *,
        limits: GatewayLimits,
        monotonic: Callable[[], float],
        on_answer: Callable[[str, str], None] = lambda _view, _source: None,
    ) -> None:
        self._reads, self._logbook, self._shelf, self._limits = reads, logbook, shelf, limits
        self._monotonic, self._on_answer = monotonic, on_answer
        self._alone_until = 0.0

    async def learning(self, student_id: UUID, min_seq: int = 0) -> bytes:
        """JSON of the learning view, not older than the log was when it was asked for, nor than ``min_seq``.

        Raises:
            NotThereYet: the log did not reach ``min_seq`` within ``min_seq_wait_s``.
        """
        head = await self._reach(student_id, min_seq)
        key = _key("learning", head, student_id)
        kept = await self._take(key)
        if kept is not None:
            self._on_answer("learning", "cache")
            return kept
        async with asyncio.timeout(self._limits.read_timeout_s):
            view = await self._reads.learning(student_id)
        self._on_answer("learning", "database")
        place = _head.decode(view)
        await self._put(_key("learning", Head(place.epoch, place.as_of_seq), student_id), view)
        return view

    async def home(self, student_id: UUID) -> bytes:
        """JSON of the short view, not older than the log was when it was asked for."""
        key = _key("home", await self._logbook.head(str(student_id)), student_id)
        kept = await self._take(key)
        if kept is not None:
            self._on_answer("home", "cache")
            return kept
        async with asyncio.timeout(self._limits.read_timeout_s):
            view = await self._reads.home(student_id)
        self._on_answer("home", "database")
        await self._put(key, view)
        return view

    async def close(self) -> None:
        """Give the shelf's connections back."""
        if self._shelf is not None:
            await self._shelf.close()

    async def _reach(self, student_id: UUID, min_seq: int) -> Head:
        until = self._monotonic() + self._limits.min_seq_wait_s
        while (head := await self._logbook.head(str(student_id))).seq < min_seq:
            if self._monotonic() >= until:
                raise NotThereYet(f"The log has not reached {min_seq}.")
            await asyncio.sleep(POLL_S)
        return head

    async def _take(self, key: str) -> bytes | None:
        if self._shelf is None or self._monotonic() < self._alone_until:
            return None
        try:
            return await self._shelf.take(key)
        except DoorbellAway as error:
            self._leave_alone(error)
            return None

    async def _put(self, key: str, view: bytes) -> None:
        if self._shelf is None or self._monotonic() < self._alone_until:
            return
        try:
            await self._shelf.put(key, view, keep_s=self._limits.view_cache_s)
        except DoorbellAway as error:
            self._leave_alone(error)

    def _leave_alone(self, error: DoorbellAway) -> None:
        self._alone_until = self._monotonic() + PAUSE_S
        logger.debug("views are read from the database: %s", error)


def _key(view: str, head: Head, student_id: UUID) -> str:
    return view_key(view, str(student_id), head.epoch, head.seq)
