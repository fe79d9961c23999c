"""Server-sent events: the same log, the same rules, another door."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from actors.doorbell import REVOKE_CHANNEL
from gateway.limits import GatewayLimits
from tests.gateway.support import Gateway, token
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio


class Stream:
    """Reads one stream as a browser would."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, timeout_s: float = 5.0) -> dict[str, str]:
        """The next message's fields."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout_s):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    return fields
                else:
                    fields = {}
        raise EOFError

    async def until(self, event: str, timeout_s: float = 5.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            while True:
                fields = await self.next(timeout_s)
                if fields.get("event") == event:
                    return dict(json.loads(fields["data"]))

    async def events(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            fields = await self.next()
            if "event" not in fields:
                frame = json.loads(fields["data"])
                assert fields["id"] == f"{frame['epoch']}:{frame['seq']}"
                found.append(frame["seq"])
        return found


@contextlib.asynccontextmanager
async def stream(gateway: Gateway, student, *, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    headers = {"authorization": f"Bearer {token(student)}", **headers}
    async with (
        httpx2.AsyncClient(base_url=gateway.url, timeout=30) as http,
        http.stream("GET", f"/api/v1/students/{student}/stream{query}", headers=headers) as response,
    ):
        yield Stream(response)


async def test_it_streams_live(gateway):
    student = uuid4()
    async with stream(gateway, student) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["x-accel-buffering"] == "no"
        assert (await events.until("connected"))["resume"] == "none"
        await events.until("caught-up")
        gateway.commit(student)
        gateway.commit(student)
        assert await events.events(2) == [1, 2]
    await wait_until_async(lambda: gateway.door.hub.students == 0)


async def test_a_browser_that_comes_back_gets_what_it_missed(gateway):
    student = uuid4()
    for _ in range(4):
        gateway.log.append(student)
    async with stream(gateway, student, **{"last-event-id": "e1:2"}) as events:
        assert await events.events(2) == [3, 4]
    async with stream(gateway, student, query="?since=e1:3") as events:
        assert await events.events(1) == [4]
    async with stream(gateway, student, query="?after=1") as events:
        assert await events.events(3) == [2, 3, 4]


async def test_a_cursor_of_another_log_is_reset(gateway):
    student = uuid4()
    for _ in range(3):
        gateway.log.append(student)
    async with stream(gateway, student, **{"last-event-id": "e0:9"}) as events:
        await events.until("connected")
        fields = await events.next()
        reset = json.loads(fields["data"])
        assert (reset["type"], reset["reason"], reset["snapshot"]["as_of_seq"]) == ("reset", "epoch", 3)
        assert fields["id"] == "e1:3"
        await events.until("caught-up")
        gateway.commit(student)
        assert await events.events(1) == [4]


@pytest.mark.parametrize("cursor", ["x", "e1:", "e1:-1", "e1:1.5", f"e1:{2**53}"])
async def test_a_cursor_that_is_none(gateway, cursor):
    async with stream(gateway, uuid4(), **{"last-event-id": cursor}) as events:
        await events.response.aread()
        assert events.response.status_code == 400
        assert events.response.json()["code"] == "bad_parameter"


async def test_a_lost_tail_is_found_by_the_ping(redis_url):
    student = uuid4()
    with Gateway(redis_url, limits=GatewayLimits(ping_s=0.3)) as gateway:
        async with stream(gateway, student) as events:
            await events.until("caught-up")
            assert (await events.until("ping"))["head"] == 0
            gateway.commit(student, ring=False)
            assert await events.events(1) == [1]
        assert gateway.count("kcactors_heal_total", cause="tail") == 1


async def test_it_ends_with_the_token_the_student_and_the_node(redis_url):
    student = uuid4()
    with Gateway(redis_url, limits=GatewayLimits(ping_s=0.2, drain_s=0.1)) as gateway:
        brief = {"authorization": f"Bearer {token(student, ttl_s=1.2)}"}
        async with stream(gateway, student, **brief) as events:
            with pytest.raises(EOFError):
                await events.until("never", timeout_s=8)
        async with stream(gateway, student) as events:
            await events.until("caught-up")
            gateway.publisher.publish([(REVOKE_CHANNEL, str(student))])
            with pytest.raises(EOFError):
                await events.until("never", timeout_s=8)
        async with stream(gateway, student) as events:
            await events.until("caught-up")
            await asyncio.to_thread(gateway.in_loop, gateway.door.drain(0.1))
            assert (await events.until("going-away"))["retry_after_ms"] > 0
        async with stream(gateway, student) as events:
            assert events.response.status_code == 503


async def test_a_student_has_enough_streams(redis_url):
    student = uuid4()
    with Gateway(redis_url, limits=GatewayLimits(sessions_per_student=1)) as gateway:
        async with stream(gateway, student) as events:
            await events.until("caught-up")
            async with stream(gateway, student) as second:
                assert second.response.status_code == 429
