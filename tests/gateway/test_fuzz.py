"""Malformed frames and handshakes by the thousand: always the code of the table, never a traceback, memory flat."""

import asyncio
import contextlib
import gc
import json
import logging
import random
import socket
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.closing import CLOSE_TABLE
from gateway.limits import GatewayLimits
from gateway.session import Session
from gateway.tokens import Claims
from tests.gateway.support import Gateway, token, wire
from tests.gateway.test_session import ME, WALL, Tally
from tests.support.waiting import wait_until_async

OURS = {row.code for row in CLOSE_TABLE}
GOOD = [
    {"type": "connect", "since": {"epoch": "e1", "seq": 1}},
    {"type": "ack", "seq": 1},
    {"type": "pong", "seq": 1},
    {"type": "sync", "since": {"epoch": "e1", "seq": 0}},
    {"type": "refresh", "token": "x"},
]
ODD: list[Any] = [
    None,
    True,
    -1,
    2**53,
    2**64,
    1e308,
    0.5,
    "",
    "\x00",
    "\ud83d",
    "ü" * 50,
    [],
    {},
    [[[[]]]],
    {"seq": {}},
    "e" * 9000,
]


def malformed(rng: random.Random) -> str:
    """A frame with something wrong: a member of an odd type, a cut, a flipped character, nesting, no object at all."""
    frame = json.loads(json.dumps(rng.choice(GOOD)))
    how = rng.randrange(7)
    if how == 0:
        frame[rng.choice([*frame, "type", "extra"])] = rng.choice(ODD)
    elif how == 1:
        frame = rng.choice(ODD)
    elif how == 2:
        frame["since"] = {"epoch": rng.choice(ODD), "seq": rng.choice(ODD)}
    text = json.dumps(frame, ensure_ascii=rng.random() < 0.5)
    if how == 3:
        text = text[: rng.randrange(len(text))]
    elif how == 4:
        place = rng.randrange(len(text))
        text = text[:place] + chr(rng.randrange(1, 0x3000)) + text[place + 1 :]
    elif how == 5:
        text = '{"type":"ack","seq":' + "[" * rng.randrange(1, 4000)
    elif how == 6:
        text = '{"type":"later","x":' + "[" * 2000 + "]" * 2000 + "}"
    return text


def test_ten_thousand_frames_meet_a_session():
    rng = random.Random(1)
    base = 0
    for number in range(10_000):
        session = Session(
            session_id="s",
            bearer="jwt",
            limits=GatewayLimits(),
            tally=Tally(),
            rng=rng,
            now=0.0,
            wall_offset_s=WALL,
        )
        if rng.random() < 0.7:
            session.on_text('{"type":"connect"}', 0.0)
            session.on_claims(Claims(ME, operator=False, expires_at=WALL + 900), 0.0)
            session.feed.on_head("e1", 3)
        session.on_text(malformed(rng), 1.0)
        for text in session.take(1.0):
            assert json.loads(text)["type"] in {"connected", "caught-up", "error"}
        assert session.close is None or session.close.code in OURS
        if number == 1000:
            gc.collect()
            base = len(gc.get_objects())
    gc.collect()
    assert len(gc.get_objects()) - base < 500, "nothing is kept of what was refused"


ALL = pytest.mark.soak, pytest.mark.timeout(600)


@pytest.mark.anyio
@pytest.mark.parametrize("rounds", [10, pytest.param(250, marks=ALL)])
async def test_frames_over_sockets_get_a_code_of_the_table(redis_url, caplog, rounds):
    """Forty sessions a round, each with one to three malformed frames: ten thousand sessions in the long run."""
    rng = random.Random(2)
    base = 0
    caplog.set_level(logging.INFO)
    with Gateway(redis_url, limits=GatewayLimits(connects_per_s=10_000, connect_timeout_s=0.5)) as gateway:

        async def offend() -> int | None:
            with contextlib.suppress(ConnectionClosed):
                async with wire(gateway, token(uuid4())) as session:
                    if rng.random() < 0.7:
                        await session.send(type="connect")
                        await session.until("caught-up")
                        if rng.random() < 0.1:
                            await session.send(type="connect")
                    for _ in range(rng.randrange(1, 4)):
                        text = malformed(rng).encode("utf-8", "replace")
                        binary = rng.random() < 0.1
                        await session.connection.send(text if binary else text.decode())
                    if rng.random() < 0.1:
                        await session.connection.send("x" * 20_000)
                    await session.connection.close(code=1000)
                    return session.connection.close_code
            return None

        for number in range(rounds):
            codes = await asyncio.gather(*(offend() for _ in range(40)))
            assert {code for code in codes if code is not None} <= OURS | {1000, 1009}
            if number == 4:
                base = await objects_at_rest(gateway)
        # what is kept stays; who was sent away a moment ago may still be leaving
        await wait_until_async(lambda: objects() - base < 500, what="nothing is kept of who was sent away")
        async with wire(gateway, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]


async def objects_at_rest(gateway: Gateway) -> int:
    await wait_until_async(lambda: gateway.door.hub.sessions == 0)
    return objects()


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.anyio
@pytest.mark.parametrize("knocks", [150, pytest.param(10_000, marks=ALL)])
async def test_handshakes_that_are_none(gateway, caplog, knocks):
    caplog.set_level(logging.INFO)
    rng = random.Random(3)
    head = f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    wholes = [
        head + upgrade + "\r\n",
        head + upgrade + key.replace("13", "7") + "\r\n",
        head + upgrade + "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
        head + upgrade + key + "Sec-WebSocket-Protocol: ,,;\r\n\r\n",
        head + upgrade + key + "Sec-WebSocket-Protocol: kc.v1, kc.bearer.\r\n\r\n",
        head + upgrade + key + "Origin: \x7f\r\n\r\n",
        head + upgrade + key + "Origin: http://[::1\r\n\r\n",
        head + key + "\r\n",
        "GET /ws HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00",
    ]

    def knock(request: bytes) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", gateway.port), timeout=2) as sock,
        ):
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    for _ in range(knocks):
        request = bytearray(rng.choice(wholes).encode("latin-1"))
        if rng.random() < 0.5:
            request[rng.randrange(len(request))] = rng.randrange(256)
        await asyncio.to_thread(knock, bytes(request))
    await wait_until_async(lambda: gateway.door.hub.sessions == 0)
    with contextlib.suppress(InvalidStatus):
        async with wire(gateway, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
    ours = [record for record in caplog.records if record.name.startswith("gateway")]
    assert not [record for record in ours if record.exc_info]
