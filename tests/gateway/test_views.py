"""Views that are kept in Redis and never stale, whatever Redis does."""

import asyncio
import contextlib
import random
import time
from uuid import uuid4

import msgspec
import pytest

from actors.doorbell import DoorbellShelf
from gateway.limits import GatewayLimits
from gateway.logbook import Logbook
from gateway.views import NotThereYet, Views
from tests.gateway.support import MemoryLog

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def views_of(log: MemoryLog, url: str | None, **limits):
    sources: list[str] = []
    logbook = Logbook(log, heads_batch=100, replays_at_once=4, timeout_s=2)
    views = Views(
        log,
        logbook,
        DoorbellShelf(url, timeout_s=0.2) if url else None,
        limits=GatewayLimits(**limits),
        monotonic=time.monotonic,
        on_answer=lambda view, source: sources.append(f"{view} {source}"),
    )
    try:
        yield views, sources
    finally:
        await views.close()


def seq_of(view: bytes) -> int:
    return int(msgspec.json.decode(view)["as_of_seq"])


async def test_a_view_is_read_once_and_again_after_an_event(redis_url):
    log, student = MemoryLog(), uuid4()
    log.append(student)
    async with views_of(log, redis_url) as (views, sources):
        assert [seq_of(await views.learning(student)) for _ in range(3)] == [1, 1, 1]
        assert [await views.home(student) for _ in range(2)]
        log.append(student)
        assert seq_of(await views.learning(student)) == 2
        await views.home(student)
    assert sources == [
        "learning database",
        "learning cache",
        "learning cache",
        "home database",
        "home cache",
        "learning database",
        "home database",
    ]


async def test_a_writer_that_was_overtaken_is_not_believed(redis_url):
    """It read the view at 1, slept, and files it after the event 2 was announced."""
    student = uuid4()
    asleep, wake = asyncio.Event(), asyncio.Event()

    class SleepyLog(MemoryLog):
        sleepy = True

        async def learning(self, student_id):
            view = await super().learning(student_id)
            if self.sleepy:
                self.sleepy = False
                asleep.set()
                await wake.wait()
            return view

    log = SleepyLog()
    log.append(student)
    async with views_of(log, redis_url) as (views, _):
        overtaken = asyncio.create_task(views.learning(student))
        await asleep.wait()
        log.append(student)
        assert seq_of(await views.learning(student)) == 2
        wake.set()
        await overtaken
        assert seq_of(await views.learning(student)) == 2


async def test_a_new_epoch_voids_what_was_kept(redis_url):
    log, student = MemoryLog(), uuid4()
    log.append(student)
    async with views_of(log, redis_url) as (views, _):
        await views.learning(student)
        log.current_epoch = "e2"
        assert msgspec.json.decode(await views.learning(student))["epoch"] == "e2"


async def test_min_seq_waits_for_the_log_and_gives_up_in_time(redis_url):
    log, student = MemoryLog(), uuid4()
    async with views_of(log, redis_url, min_seq_wait_s=0.3) as (views, _):
        with pytest.raises(NotThereYet):
            await views.learning(student, 1)
        waiting = asyncio.create_task(views.learning(student, 1))
        await asyncio.sleep(0)
        log.append(student)
        assert seq_of(await waiting) == 1


@pytest.mark.parametrize("fault", ["stop", "stall"])
async def test_redis_away_costs_little_and_is_left_alone(redis_proxy, redis_url, fault):
    log, student = MemoryLog(), uuid4()
    async with views_of(log, redis_proxy.url(redis_url)) as (views, sources):
        await views.learning(student)
        getattr(redis_proxy, fault)()
        began = time.monotonic()
        for _ in range(20):
            await views.learning(student)
        assert time.monotonic() - began < 1.5
        assert set(sources) == {"learning database"}
        redis_proxy.start()


async def test_without_a_cache(redis_url):
    log, student = MemoryLog(), uuid4()
    async with views_of(log, None) as (views, sources):
        await views.learning(student)
        await views.learning(student)
    assert sources == ["learning database"] * 2


async def test_no_reader_ever_goes_back(redis_url):
    """Several nodes, one Redis: after a reader has seen a place in the log, no later read is older."""
    log, student = MemoryLog(), uuid4()
    rng = random.Random(7)
    async with contextlib.AsyncExitStack() as stack:
        nodes = [(await stack.enter_async_context(views_of(log, redis_url)))[0] for _ in range(3)]

        async def read(times: int) -> None:
            for _ in range(times):
                floor = log.head(student)
                assert seq_of(await rng.choice(nodes).learning(student)) >= floor

        async def write() -> None:
            for _ in range(100):
                log.append(student)
                await asyncio.sleep(0)

        await asyncio.gather(write(), *(read(60) for _ in range(5)))
