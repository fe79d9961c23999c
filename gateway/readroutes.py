"""Reads for screens: the learning view, the short view, and the event log as pages or long poll."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.access import reader_of
from gateway.closing import Close
from gateway.door import Door
from gateway.feed import Event, Feed, ResetTo
from gateway.ports import READ_TROUBLE, LogFrame, LogPage
from gateway.problem import Problem, unavailable
from gateway.resume import SEQ_MAX, LogState, Position, reset_reason
from gateway.views import NotThereYet

NO_STORE: Final = {"cache-control": "no-store"}


async def learning(request: Request) -> Response:
    """``GET /api/v1/students/{id}/learning[?min_seq=N]``."""
    door: Door = request.app.state.door
    student_id: UUID = request.path_params["student_id"]
    await reader_of(request, door.tokens, student_id)
    min_seq = _number(request, "min_seq", 0, 0, SEQ_MAX)
    try:
        view = await door.views.learning(student_id, min_seq)
    except NotThereYet as early:
        raise unavailable("not_there_yet", str(early), retry_after_s=1) from early
    except READ_TROUBLE as error:
        raise _away() from error
    return Response(view, headers=NO_STORE, media_type="application/json")


async def home(request: Request) -> Response:
    """``GET /api/v1/students/{id}/home``."""
    door: Door = request.app.state.door
    student_id: UUID = request.path_params["student_id"]
    await reader_of(request, door.tokens, student_id)
    try:
        view = await door.views.home(student_id)
    except READ_TROUBLE as error:
        raise _away() from error
    return Response(view, headers=NO_STORE, media_type="application/json")


async def events(request: Request) -> Response:
    """``GET /api/v1/students/{id}/events?after=SEQ[&wait=25][&limit=100]``."""
    door: Door = request.app.state.door
    student_id: UUID = request.path_params["student_id"]
    await reader_of(request, door.tokens, student_id)
    limits = door.limits
    after = _number(request, "after", 0, 0, SEQ_MAX)
    wait_s = _number(request, "wait", 0, 0, 3600)
    limit = _number(request, "limit", limits.page_events, 1, limits.page_events_max)
    try:
        page = await door.logbook.page(str(student_id), after, limit)
        _refuse_void(after, page)
        if page.frames or not wait_s or door.draining:
            return _page(page.epoch, page.head, after, page.frames)
        return await _wait(door, str(student_id), after, min(float(wait_s), limits.long_poll_max_s))
    except READ_TROUBLE as error:
        raise _away() from error


async def _wait(door: Door, student_id: str, after: int, wait_s: float) -> Response:
    """Nothing yet: follow the log until something comes, or the time is over."""
    news = asyncio.Event()
    gone: list[Close] = []

    def end(close: Close) -> None:
        gone.append(close)
        news.set()

    limits = door.limits
    if door.hub.readers_of(student_id) >= limits.sessions_per_student:
        raise Problem(429, "connection_limit", "This student has too many open readers.", retry_after_s=5)
    feed = Feed(replay_max=None, queue_events=limits.page_events, queue_bytes=limits.queue_bytes)
    feed.open(Position(None, after))
    follower = door.follower(student_id, feed, on_news=news.set, on_end=end)
    door.metrics.streams(1)
    found: list[LogFrame] = []
    try:
        async with asyncio.timeout(wait_s):
            await follower.start()
            while not found and not gone:
                await news.wait()
                news.clear()
                items = feed.take(limits.page_events)
                feed.sent()
                found += [item for item in items if isinstance(item, Event)]
                reset = next((item for item in items if isinstance(item, ResetTo)), None)
                if reset is not None:
                    raise _void(reset.reason, feed.epoch, feed.head, 0)
                follower.pump()
    except TimeoutError:
        pass
    finally:
        follower.stop()
        door.metrics.streams(-1)
    if Close.REVOKED in gone:
        raise Problem(403, "revoked", "This student's access was withdrawn.")
    return _page(feed.epoch, feed.head, after, found)


def _page(epoch: str, head: int, after: int, frames: Sequence[LogFrame]) -> Response:
    last = frames[-1].seq if frames else after
    following = str(last) if last < head else "null"
    quoted = msgspec.json.encode(epoch).decode()
    texts = ",".join(frame.text for frame in frames)
    body = f'{{"epoch":{quoted},"head":{head},"events":[{texts}],"next":{following}}}'
    return Response(body, headers=NO_STORE, media_type="application/json")


def _refuse_void(after: int, page: LogPage) -> None:
    reason = reset_reason(Position(None, after), LogState(page.epoch, page.head, page.oldest), None)
    if reason is not None:
        raise _void(reason.value, page.epoch, page.head, page.oldest)


def _void(reason: str, epoch: str, head: int, oldest: int) -> Problem:
    detail = "Read the learning view and go on from its as_of_seq."
    return Problem(409, f"cursor_{reason}", detail, extra={"epoch": epoch, "head": head, "oldest": oldest})


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise Problem(400, "bad_parameter", f"{name} must be an integer from {least} to {most}.")
    return int(text)


def _away() -> Problem:
    return unavailable("database_away", "The database does not answer.")
