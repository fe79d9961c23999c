"""A session that ended is freed at once: a node keeps what lives long out of the garbage collector's sight."""

import gc
from collections import Counter
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from gateway.feed import Feed
from gateway.follower import Follower
from gateway.session import Session
from gateway.websocket import Connection
from kcactors.webserver import TidyWebSocket
from kcactors.wholewebhooks import WholeWebhooks
from tests.gateway.support import token, wire
from tests.support.waiting import wait_until_async

KINDS = (Connection, Session, Feed, Follower, TidyWebSocket, ServerProtocol, WholeWebhooks)


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in KINDS)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["clean", "cut", "refused"])
async def test_nothing_waits_for_the_collector(gateway, no_collector, ending):
    for _ in range(5):
        async with wire(gateway, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            assert alive()["Session"] == 1
            if ending == "cut":
                session.connection.transport.abort()
            elif ending == "refused":
                await session.send(type="ack", seq="x")
                with pytest.raises(ConnectionClosed):
                    await session.until("never")
        await wait_until_async(lambda: not alive(), what="everything of the session is freed")
