from uuid import uuid4

import pytest

from tests.gateway.support import token, wire

pytestmark = pytest.mark.anyio


async def test_an_event_arrives_on_an_open_socket_without_any_call(gateway):
    student = uuid4()
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        connected = await session.frame()
        assert connected["type"] == "connected"
        assert (connected["resume"], connected["head"], connected["epoch"]) == ("none", 0, "e1")
        assert await session.until("caught-up") == {"type": "caught-up", "seq": 0}
        gateway.commit(student, payment_id="pay_77")
        event = await session.frame()
        assert (event["type"], event["seq"], event["correlation_id"]) == ("business-event", 1, "pay_77")


async def test_a_cursor_gets_what_it_missed_and_then_goes_live(gateway):
    student = uuid4()
    for _ in range(3):
        gateway.commit(student)
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect", since={"epoch": "e1", "seq": 1})
        connected = await session.frame()
        assert (connected["resume"], connected["from"], connected["to"]) == ("ok", 2, 3)
        assert await session.events(2) == [2, 3]
        assert (await session.until("caught-up"))["seq"] == 3
        gateway.commit(student)
        assert await session.events(1) == [4]
