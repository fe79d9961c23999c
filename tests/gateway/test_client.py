"""The Python client against a real gateway."""

import asyncio
import contextlib
import random
from uuid import uuid4

import pytest

from gateway.client.core import Cursor
from gateway.client.realtime import RealtimeClient, Stopped
from tests.gateway.support import Gateway, MemoryLog, token
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio


def client(gateway: Gateway, student, seen: list[int], **options) -> RealtimeClient:
    async def get_token(_force: bool) -> str:
        return token(student)

    async def handle(event) -> None:
        seen.append(event["seq"])

    return RealtimeClient(gateway.ws_url, get_token, on_event=handle, rng=random.Random(1), **options)


async def test_it_follows_and_acknowledges(gateway):
    student = uuid4()
    seen: list[int] = []
    async with client(gateway, student, seen) as realtime:
        await realtime.ready()
        gateway.commit(student, payment_id="pay_9")
        event = await realtime.wait_for(lambda event: event["correlation_id"] == "pay_9")
        assert (event["seq"], realtime.cursor) == (1, Cursor("e1", 1))
        await wait_until_async(lambda: gateway.count("kcactors_commit_to_ack_seconds_count") == 1)


async def test_it_comes_back_to_another_process_with_its_cursor(redis_url):
    student, log = uuid4(), MemoryLog()
    seen: list[int] = []
    with Gateway(redis_url, log=log) as first:
        port = first.port
        async with client(first, student, seen) as realtime:
            await realtime.ready()
            first.commit(student)
            await wait_until_async(lambda: seen == [1])
            await asyncio.to_thread(first.kill)
            log.append(student)
            with Gateway(redis_url, log=log, port=port) as second:
                await wait_until_async(lambda: seen == [1, 2])
                await realtime.ready()
                second.commit(student)
                await wait_until_async(lambda: seen == [1, 2, 3])


async def test_a_reset_starts_from_the_snapshot(gateway):
    student = uuid4()
    seen: list[int] = []
    resets: list[int] = []
    for _ in range(3):
        gateway.log.append(student)

    async def on_reset(frame) -> None:
        resets.append(frame["snapshot"]["as_of_seq"])

    async with client(gateway, student, seen, cursor=Cursor("other", 9), on_reset=on_reset) as realtime:
        await realtime.ready()
        gateway.commit(student)
        await wait_until_async(lambda: (resets, seen) == ([3], [4]))
        assert realtime.cursor == Cursor("e1", 4)


async def test_a_first_visit_with_a_snapshot(gateway):
    student = uuid4()
    seen: list[int] = []
    views: list[int] = []

    async def snapshot():
        gateway.log.append(student)
        return {"as_of_seq": 0, "epoch": "e1"}

    async def on_reset(frame) -> None:
        views.append(frame["snapshot"]["as_of_seq"])

    async with client(gateway, student, seen, get_snapshot=snapshot, on_reset=on_reset) as realtime:
        await realtime.ready()
        gateway.commit(student)
        await wait_until_async(lambda: (views, seen) == ([0], [1, 2]))


async def test_it_stops_when_told_for_good(gateway):
    student = uuid4()

    async def forged(_force: bool) -> str:
        return token(student, secret="another secret that is long enough too")

    async with RealtimeClient(gateway.ws_url, forged) as realtime:
        with pytest.raises(Stopped) as stopped:
            await realtime.ready()
        assert stopped.value.code == 4500


async def test_a_handler_that_fails_is_tried_again_and_then_passed_over(gateway, caplog):
    student, tries = uuid4(), []

    async def get_token(_force: bool) -> str:
        return token(student)

    async def fail(event) -> None:
        tries.append(event["seq"])
        raise ValueError("no")

    async with RealtimeClient(gateway.ws_url, get_token, on_event=fail) as realtime:
        await realtime.ready()
        gateway.commit(student)
        await wait_until_async(lambda: realtime.cursor == Cursor("e1", 1))
        assert tries == [1, 1, 1]
    assert [record.levelname for record in caplog.records if record.message == "a handler failed"] == [
        "ERROR"
    ]


async def test_a_token_that_cannot_be_had_is_asked_for_again(gateway):
    student, asked = uuid4(), []

    async def get_token(_force: bool) -> str:
        asked.append(1)
        if len(asked) == 1:
            raise OSError("away")
        return token(student)

    async with RealtimeClient(gateway.ws_url, get_token) as realtime:
        await realtime.ready()
    assert len(asked) == 2


async def test_leaving_leaves_nothing_behind(gateway):
    before = len(asyncio.all_tasks())
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            realtime = await stack.enter_async_context(client(gateway, uuid4(), []))
            await realtime.ready()
    await wait_until_async(lambda: gateway.door.hub.sessions == 0)
    assert len(asyncio.all_tasks()) == before
