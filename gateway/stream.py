"""``GET /api/v1/students/{id}/stream``: the log as server-sent events, on the same feed as the WebSocket.

Business events and resets come as plain messages whose id is ``epoch:seq``; ``connected``, ``caught-up``, ``status``,
``ping`` and ``going-away`` are named, so that a simple reader sees events only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from msgspec import Raw
from starlette.requests import Request
from starlette.responses import StreamingResponse

from gateway.access import reader_of
from gateway.closing import Close
from gateway.door import Door
from gateway.feed import CaughtUp, Event, Feed, Item, Opened
from gateway.frames import CaughtUpFrame, GoingAway, Ping, ResetFrame, Status, StreamConnected, write_frame
from gateway.ports import READ_TROUBLE
from gateway.problem import Problem, unavailable
from gateway.resume import SEQ_MAX, Position

RETRY_MS: Final = 1000
HEADERS: Final = {
    "cache-control": "no-store",
    # A proxy that buffers holds every event back until the next one.
    "x-accel-buffering": "no",
}


async def stream(request: Request) -> StreamingResponse:
    """The route. See the module's text."""
    door: Door = request.app.state.door
    student_id: UUID = request.path_params["student_id"]
    claims = await reader_of(request, door.tokens, student_id)
    since = _since(request)
    if door.draining:
        raise unavailable("draining", "This node is stopping.", retry_after_s=1)
    if door.hub.readers_of(str(student_id)) >= door.limits.sessions_per_student:
        raise Problem(429, "connection_limit", "This student has too many open readers.", retry_after_s=5)
    reader = StreamReader(door, str(student_id), since, expires_at=claims.expires_at)
    return StreamingResponse(reader.texts(), headers=HEADERS, media_type="text/event-stream")


class StreamReader:
    """One open stream. The socket's own back-pressure paces it: nothing is taken from the feed before it is written."""

    def __init__(self, door: Door, student_id: str, since: Position | None, *, expires_at: float) -> None:
        limits = door.limits
        self._door, self._student_id, self._expires_at = door, student_id, expires_at
        self._news = asyncio.Event()
        self._end: Close | None = None
        self._told_live = True
        self._feed = Feed(
            replay_max=limits.replay_events,
            queue_events=limits.queue_events,
            queue_bytes=limits.queue_bytes,
            on_heal=door.metrics.heal,
        )
        self._feed.open(since)
        self._follower = door.follower(student_id, self._feed, on_news=self._news.set, on_end=self._on_end)

    async def texts(self) -> AsyncIterator[str]:
        """What goes over the wire, until the token ends, the student is revoked or the node stops."""
        self._door.metrics.streams(1)
        try:
            yield f"retry: {RETRY_MS}\n\n"
            await self._follower.start()
            while self._end is None and self._door.wall() < self._expires_at:
                self._news.clear()
                if not self._feed.waiting and not await self._news_within(self._door.limits.ping_s):
                    await self._check_tail()
                    yield _named(write_frame(Ping(self._feed.head, int(self._door.wall() * 1000))), "ping")
                for item in self._feed.take():
                    yield self._text(item)
                self._feed.sent()
                if self._feed.opened and self._told_live is not self._door.hub.live:
                    self._told_live = self._door.hub.live
                    reason = None if self._told_live else "upstream"
                    yield _named(write_frame(Status(self._told_live, reason)), "status")
                self._follower.pump()
            if self._end is Close.GOING_AWAY:
                yield _named(write_frame(GoingAway(RETRY_MS)), "going-away")
        finally:
            self._follower.stop()
            self._door.metrics.streams(-1)

    def _on_end(self, close: Close) -> None:
        self._end = close
        self._news.set()

    async def _news_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _check_tail(self) -> None:
        try:
            head = await self._door.logbook.head(self._student_id)
        except READ_TROUBLE:
            return
        if self._feed.on_tail(head.epoch, head.seq, "tail"):
            self._follower.pump()

    def _text(self, item: Item) -> str:
        epoch = self._feed.epoch
        if isinstance(item, Event):
            if item.committed_at:
                self._door.metrics.sent_late_by(self._door.wall() - item.committed_at)
            return f"id: {epoch}:{item.seq}\ndata: {item.text}\n\n"
        if isinstance(item, CaughtUp):
            return _named(write_frame(CaughtUpFrame(item.seq)), "caught-up")
        if isinstance(item, Opened):
            self._door.metrics.resumed(item.resume)
            opening = StreamConnected(
                epoch=item.epoch,
                head=item.head,
                resume=item.resume,
                ping=self._door.limits.ping_s,
                exp_in=max(0, int(self._expires_at - self._door.wall())),
            )
            return _named(write_frame(opening), "connected")
        self._door.metrics.reset(item.reason)
        frame = write_frame(ResetFrame(item.epoch, item.head, item.reason, Raw(item.snapshot)))
        return f"id: {item.epoch}:{item.as_of_seq}\ndata: {frame}\n\n"


def _named(text: str, name: str) -> str:
    return f"event: {name}\ndata: {text}\n\n"


def _since(request: Request) -> Position | None:
    """``Last-Event-ID`` (a browser coming back), else ``?since=epoch:seq``, else ``?after=seq``."""
    text = request.headers.get("last-event-id") or request.query_params.get("since")
    if text:
        epoch, _, seq = text.rpartition(":")
        return Position(epoch, _seq(seq))
    after = request.query_params.get("after")
    return Position(None, _seq(after)) if after is not None else None


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= SEQ_MAX):
        raise Problem(400, "bad_parameter", "A cursor is epoch:seq.")
    return int(text)
