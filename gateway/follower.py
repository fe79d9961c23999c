"""The shell around a feed: subscribes, reads what the feed needs, tries again, tells its owner."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from gateway.closing import Close
from gateway.feed import Feed, Need
from gateway.logbook import Logbook
from gateway.ports import READ_TROUBLE

logger = logging.getLogger(__name__)


class Exchange(Protocol):
    """Where a follower hears of its student: the hub."""

    async def join(self, follower: Follower) -> None: ...
    def leave(self, follower: Follower) -> None: ...


class Follower:
    """Keeps one feed going.

    Args:
        on_news: called when something is queued for the reader.
        on_end: called when the reader has to be sent away, with the close code that says why.
    """

    __slots__ = (
        "_joined",
        "_limits_page",
        "_logbook",
        "_on_news",
        "_retry",
        "_retry_s",
        "_rng",
        "_subscribed",
        "_task",
        "exchange",
        "feed",
        "on_end",
        "student_id",
    )

    def __init__(
        self,
        student_id: str,
        feed: Feed,
        *,
        exchange: Exchange,
        logbook: Logbook,
        page_events: int,
        retry_s: float,
        rng: random.Random,
        on_news: Callable[[], None],
        on_end: Callable[[Close], None],
    ) -> None:
        self.student_id, self.feed, self.exchange = student_id, feed, exchange
        self._logbook, self._limits_page, self._retry_s, self._rng = logbook, page_events, retry_s, rng
        self._on_news, self.on_end = on_news, on_end
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._joined = self._subscribed = False

    async def start(self) -> None:
        """Hear of the student, and only then read: what is committed in between is heard, read, or both."""
        self._joined = True
        await self.exchange.join(self)
        self._subscribed = True
        self.pump()

    def stop(self) -> None:
        """Hear no more. May be called twice."""
        if self._joined:
            self._joined = self._subscribed = False
            self.exchange.leave(self)
        if self._task is not None:
            self._task.cancel()
        if self._retry is not None:
            self._retry.cancel()

    def pump(self) -> None:
        """Start the read that the feed needs, if none is on its way, and say so when there is news."""
        if self.feed.waiting:
            self._on_news()
        if (
            self._task is None
            and self._retry is None
            and self._subscribed
            and self.feed.need is not Need.NOTHING
        ):
            self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        feed = self.feed
        try:
            while (need := feed.need) is not Need.NOTHING:
                if need is Need.HEAD:
                    head = await self._logbook.head(self.student_id)
                    feed.on_head(head.epoch, head.seq)
                elif need is Need.PAGE:
                    feed.on_page(await self._logbook.page(self.student_id, feed.last, self._limits_page))
                else:
                    snapshot = await self._logbook.snapshot(self.student_id)
                    feed.on_snapshot(snapshot.view, snapshot.as_of_seq, snapshot.epoch)
        except READ_TROUBLE as error:
            self._try_again(f"{type(error).__name__}: {error}")
        except Exception:
            logger.exception("bug while reading a log")
            self._try_again("bug")
        finally:
            self._task = None
        if feed.waiting:
            self._on_news()

    def _try_again(self, why: str) -> None:
        logger.debug("log not read, trying again: %s", why)
        pause_s = self._retry_s * self._rng.uniform(0.5, 1.5)
        self._retry = asyncio.get_running_loop().call_later(pause_s, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.pump()
