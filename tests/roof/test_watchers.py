"""The watching sessions, against a WebSocket server that plays the gateway's part."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from kcactors.exits import ServiceAway
from kcactors.load import watchers as watching
from kcactors.load.watchers import Watchers
from tests.support.waiting import wait_until_async


def event(seq, payment="p", name="PURCHASE_CREATED"):
    return {
        "type": "business-event",
        "seq": seq,
        "event": name,
        "correlation_id": payment,
        "epoch": "e1",
        "data": {},
    }


def watch(play, until, students=("s",)):
    """Runs watchers against ``play(socket, hello)`` until the condition holds; the watchers afterwards."""

    async def run():
        async def handler(socket):
            await play(socket, json.loads(await socket.recv()))
            await socket.wait_closed()

        async with serve(handler, "127.0.0.1", 0, subprotocols=[Subprotocol("kc.v1")]) as server:
            port = server.sockets[0].getsockname()[1]
            screens = Watchers(
                list(students), [f"http://127.0.0.1:{port}"], lambda student: f"token-{student}"
            )
            try:
                await screens.start()
                await wait_until_async(lambda: until(screens))
            finally:
                await screens.stop()
            return screens

    return asyncio.run(run())


async def tell(socket, *frames):
    for frame in frames:
        await socket.send(json.dumps(frame))


def test_events_are_seen_once_and_in_order():
    async def play(socket, hello):
        assert socket.request.headers["Sec-WebSocket-Protocol"] == "kc.v1, kc.bearer.token-s"
        await tell(socket, {"type": "connected", "epoch": "e1", "head": 0})
        await tell(socket, event(1, "a"), event(2, "a", "COURSE_PURCHASED"), event(2), event(4, "b"))

    screens = watch(play, lambda screens: screens.events == 3)
    assert (screens.repeated, screens.holes) == (1, 1)
    assert set(screens.seen_at) == {"a", "b"}


def test_a_session_that_was_cut_off_comes_back_with_its_cursor(monkeypatch):
    monkeypatch.setattr(watching, "_RECONNECT_PAUSE_S", 0.01)
    hellos = []

    async def play(socket, hello):
        hellos.append(hello)
        await tell(socket, {"type": "connected", "epoch": "e1", "head": 0})
        if len(hellos) == 1:
            await tell(socket, event(1))
            await socket.close(4000)
        else:
            await tell(socket, event(2))

    screens = watch(play, lambda screens: screens.events == 2)
    assert "since" not in hellos[0]
    assert hellos[1]["since"] == {"epoch": "e1", "seq": 1}
    assert screens.holes == 0


def test_a_ping_is_answered():
    pongs = []

    async def play(socket, hello):
        await tell(
            socket, {"type": "connected", "epoch": "e1", "head": 7}, {"type": "ping", "head": 7, "now": 1}
        )
        pongs.append(json.loads(await socket.recv()))

    watch(play, lambda screens: pongs)
    assert pongs == [{"type": "pong", "seq": 7}]


def test_a_reset_moves_the_cursor_and_is_counted():
    async def play(socket, hello):
        await tell(socket, {"type": "connected", "epoch": "e1", "head": 0})
        await tell(socket, {"type": "reset", "epoch": "e2", "head": 10, "reason": "epoch"}, event(11))

    screens = watch(play, lambda screens: screens.events == 1)
    assert screens.holes == 0
    assert screens.watchers[0].resets == 1


def test_a_session_that_cannot_be_opened_is_named(monkeypatch):
    monkeypatch.setattr(watching, "_CONNECT_TIMEOUT_S", 0.2)

    async def play(socket, hello):
        pass

    with pytest.raises(ServiceAway, match="WebSocket"):
        watch(play, lambda screens: True)
