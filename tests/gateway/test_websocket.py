"""``kc.v1`` over real sockets: real uvicorn, real Redis, the websockets client."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from actors.doorbell import REVOKE_CHANNEL
from gateway.limits import GatewayLimits
from tests.gateway.support import Gateway, token, wire
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kc_v1"
RESUME = json.loads((FIXTURES / "resume.json").read_text())["cases"]


def quick(**changes) -> GatewayLimits:
    """Limits that a test does not have to wait for."""
    limits = {"drain_s": 0.2, "read_retry_s": 0.05, "poll_s": 0.1, "down_grace_s": 0.1}
    return GatewayLimits(**{**limits, **changes})


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
        await session.send(type="ack", seq=1)
        await wait_until_async(lambda: gateway.count("kcactors_commit_to_ack_seconds_count") == 1)
    assert gateway.count("kcactors_commit_to_send_seconds_count") == 1


async def test_the_frame_is_the_text_that_rang(gateway):
    student = uuid4()
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        await session.until("caught-up")
        frame = gateway.commit(student, note="ünï ")
        assert await session.connection.recv() == frame.text
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect", since={"epoch": "e1", "seq": 0})
        await session.until("connected")
        assert await session.connection.recv() == frame.text


@contextlib.contextmanager
def epoch_of(gateway: Gateway, epoch: str) -> Iterator[None]:
    before, gateway.log.current_epoch = gateway.log.current_epoch, epoch
    try:
        yield
    finally:
        gateway.log.current_epoch = before


@pytest.mark.parametrize("case", RESUME, ids=lambda case: case["name"])
async def test_the_resume_table(steady, case):
    student, gateway = uuid4(), steady
    with epoch_of(gateway, case["log"]["epoch"]):
        log, expect = case["log"], case["expect"]
        for _ in range(log["head"]):
            gateway.log.append(student)
        gateway.log.forget_before(student, log["oldest"])
        async with wire(gateway, token(student)) as session:
            hello = {"type": "connect"} | ({"since": case["since"]} if case["since"] is not None else {})
            await session.send(**hello)
            if "close" in expect:
                assert (await session.frame())["code"] == "bad_request"
                assert await session.closed() == expect["close"]
                return
            connected = await session.frame()
            assert connected["resume"] == expect["resume"]
            assert connected["head"] == log["head"]
            assert (connected.get("from"), connected.get("to")) == (expect.get("from"), expect.get("to"))
            if "from" in expect:
                replayed = await session.events(expect["to"] - expect["from"] + 1)
                assert replayed == list(range(expect["from"], expect["to"] + 1))
            if "reason" in expect:
                reset = await session.frame()
                assert (reset["type"], reset["reason"]) == ("reset", expect["reason"])
                assert reset["snapshot"]["as_of_seq"] == log["head"]
                assert reset["snapshot"]["epoch"] == log["epoch"]
            assert await session.until("caught-up") == {"type": "caught-up", "seq": log["head"]}
            gateway.commit(student)
            assert await session.events(1) == [log["head"] + 1]


async def test_two_screens_of_one_student_and_one_of_another(gateway):
    mine, theirs = uuid4(), uuid4()
    async with (
        wire(gateway, token(mine)) as first,
        wire(gateway, token(mine)) as second,
        wire(gateway, token(theirs)) as third,
    ):
        for session in (first, second, third):
            await session.send(type="connect")
            await session.until("caught-up")
        gateway.commit(mine)
        gateway.commit(theirs)
        gateway.commit(theirs)
        assert await first.events(1) == await second.events(1) == [1]
        assert await third.events(2) == [1, 2]
    await wait_until_async(lambda: gateway.door.hub.students == 0)
    assert gateway.door.hub.sessions == 0


async def test_a_lost_ring_in_the_middle_is_healed(gateway):
    student = uuid4()
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        await session.until("caught-up")
        gateway.commit(student, ring=False)
        gateway.commit(student)
        assert await session.events(2) == [1, 2]
    assert gateway.count("kcactors_heal_total", cause="gap") == 1


async def test_a_lost_last_ring_is_healed_within_a_ping(redis_url):
    student = uuid4()
    with Gateway(redis_url, limits=quick(ping_s=1.0)) as gateway:
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            gateway.commit(student, ring=False)
            assert await session.events(1, timeout_s=3) == [1]
        assert gateway.count("kcactors_heal_total", cause="tail") == 1


async def test_rings_doubled_and_out_of_order_are_seen_once(gateway):
    student = uuid4()
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        await session.until("caught-up")
        frames = [gateway.commit(student, ring=False) for _ in range(5)]
        for frame in [*reversed(frames), *frames]:
            gateway.ring(student, frame)
        last = gateway.commit(student)
        assert await session.events(6) == [1, 2, 3, 4, 5, 6]
        gateway.ring(student, last)
        gateway.commit(student)
        assert await session.events(1) == [7]


async def test_a_sync_brings_it_again(gateway):
    student = uuid4()
    for _ in range(4):
        gateway.log.append(student)
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        await session.until("caught-up")
        await session.send(type="sync", since={"epoch": "e1", "seq": 2})
        assert await session.events(2) == [3, 4]
        assert (await session.until("caught-up"))["seq"] == 4


async def test_redis_away_the_log_is_polled_and_the_socket_stays(redis_proxy, redis_url):
    student = uuid4()
    with Gateway(redis_proxy.url(redis_url), limits=quick()) as gateway:
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            redis_proxy.stop()
            assert (await session.until("status"))["live"] is False
            gateway.commit(student, ring=False)
            assert await session.events(1) == [1]
            async with wire(gateway, token(student)) as late:
                await late.send(type="connect", since={"epoch": "e1", "seq": 0})
                assert await late.events(1) == [1]
                assert (await late.until("status"))["live"] is False
            redis_proxy.start()
            assert (await session.until("status", timeout_s=10))["live"] is True
            gateway.publisher.close()
            gateway.commit(student)
            assert await session.events(1) == [2]


async def test_what_was_missed_while_redis_was_away_for_a_moment_is_found(redis_proxy, redis_url):
    student = uuid4()
    with Gateway(redis_proxy.url(redis_url), limits=quick(down_grace_s=30)) as gateway:
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            gateway.log.append(student)
            redis_proxy.reset()
            assert await session.events(1) == [1]
        assert gateway.count("kcactors_heal_total", cause="redis_reconnect") == 1


async def test_a_silent_redis_is_given_up(redis_proxy, redis_url):
    student = uuid4()
    with Gateway(redis_proxy.url(redis_url), limits=quick()) as gateway:
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            redis_proxy.stall()
            gateway.log.append(student)
            assert await session.events(1, timeout_s=12) == [1]
            redis_proxy.resume()


async def test_the_database_away_the_session_waits_and_goes_on(gateway):
    student = uuid4()
    gateway.log.append(student)
    gateway.log.away = True
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect", since={"epoch": "e1", "seq": 0})
        await wait_until_async(lambda: gateway.log.reads > 2)
        gateway.log.away = False
        assert (await session.until("connected"))["resume"] == "ok"
        assert await session.events(1) == [1]


class TestTokens:
    async def test_in_the_first_frame(self, gateway):
        student = uuid4()
        async with wire(gateway) as session:
            await session.send(type="connect", token=token(student))
            assert (await session.frame())["type"] == "connected"

    async def test_only_our_protocol_is_chosen_never_the_token(self, gateway):
        async with wire(gateway, token(uuid4())) as session:
            assert session.connection.subprotocol == "kc.v1"

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"ttl_s": -10}, 4001),
            ({"secret": "another secret that is long enough too"}, 4500),
            ({"sub": "not a uuid"}, 4500),
            ({"role": "operator"}, 4500),
        ],
    )
    async def test_a_bad_one_is_closed_with_its_code(self, steady, claims, code):
        student = None if {"sub", "role"} & set(claims) else uuid4()
        async with wire(steady, token(student, **claims)) as session:
            await session.send(type="connect")
            assert await session.closed() == code

    async def test_none(self, gateway):
        async with wire(gateway) as session:
            await session.send(type="connect")
            assert await session.closed() == 4500

    async def test_never_in_the_address(self, gateway):
        address = f"{gateway.ws_url}?token={token(uuid4())}"
        async with connect(address, subprotocols=[Subprotocol("kc.v1")]) as connection:
            await connection.send('{"type":"connect"}')
            await connection.wait_closed()
            assert connection.close_code == 4500

    async def test_it_ends_and_is_renewed_in_band(self, redis_url):
        student = uuid4()
        with Gateway(redis_url, limits=quick(token_grace_s=0.5)) as gateway:
            async with wire(gateway, token(student, ttl_s=1.5)) as session:
                await session.send(type="connect")
                await session.until("caught-up")
                await session.send(type="refresh", token=token(student, ttl_s=3))
                assert (await session.until("refreshed"))["exp_in"] <= 3
                assert await session.closed(timeout_s=8) == 4001

    async def test_another_student_is_not_a_renewal(self, gateway):
        async with wire(gateway, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            await session.send(type="refresh", token=token(uuid4()))
            assert await session.closed() == 4500

    async def test_revoked(self, gateway):
        student = uuid4()
        async with wire(gateway, token(student)) as session, wire(gateway, token(uuid4())) as other:
            for each in (session, other):
                await each.send(type="connect")
                await each.until("caught-up")
            gateway.publisher.publish([(REVOKE_CHANNEL, str(student))])
            assert await session.closed() == 4503
            await other.connection.ping()

    async def test_in_no_log_line(self, gateway, caplog):
        caplog.set_level(logging.DEBUG)
        student = uuid4()
        secret = token(student)
        async with wire(gateway, secret) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            await session.send(type="refresh", token=secret)
            await session.until("refreshed")
        async with wire(gateway) as session:
            await session.send(type="connect", token=secret + "x")
            await session.closed()
        # The websockets client of this test logs its own headers; it is not ours.
        ours = [record for record in caplog.records if not record.name.startswith("websockets")]
        assert ours
        signature = secret.rpartition(".")[2]
        assert not [
            record for record in ours if signature in record.getMessage() or signature in str(record.exc_info)
        ]


class TestHandshakes:
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
    async def test_a_foreign_origin_is_403(self, steady, origin):
        with pytest.raises(InvalidStatus) as refused:
            async with wire(steady, origin=Origin(origin)):
                pass
        assert refused.value.response.status_code == 403

    async def test_our_own_origin_is_welcome(self, gateway):
        async with wire(gateway, token(uuid4()), origin=Origin(gateway.url)) as session:
            await session.send(type="connect")
            await session.until("connected")

    async def test_the_list_of_origins_is_exact(self, redis_url):
        with Gateway(redis_url, allowed_origins=("https://app.example",)) as gateway:
            async with wire(gateway, origin=Origin("https://app.example")):
                pass
            with pytest.raises(InvalidStatus):
                async with wire(gateway, origin=Origin(gateway.url)):
                    pass

    @pytest.mark.parametrize("offered", [["kc.v2"], ["graphql-ws", "kc.bearer.x"], None])
    async def test_another_protocol_is_told_so(self, steady, offered):
        names = [Subprotocol(name) for name in offered] if offered else None
        async with wire(steady, subprotocols=names) as session:
            assert await session.closed() == 4502

    async def test_too_many_at_once_are_503(self, redis_url):
        with Gateway(redis_url, limits=quick(connects_per_s=5, connect_wait_s=0.01)) as gateway:
            outcomes = await asyncio.gather(*(self._try(gateway) for _ in range(12)))
        assert outcomes.count(200) in {5, 6}
        assert outcomes.count(503) == 12 - outcomes.count(200)

    async def test_a_few_too_many_wait_for_their_turn(self, redis_url):
        with Gateway(redis_url, limits=quick(connects_per_s=10, connect_wait_s=2.0)) as gateway:
            begun = asyncio.get_running_loop().time()
            outcomes = await asyncio.gather(*(self._try(gateway) for _ in range(15)))
            took_s = asyncio.get_running_loop().time() - begun
        assert outcomes == [200] * 15
        assert took_s >= 0.4, "ten at once, and the rest at ten a second"

    async def _try(self, gateway) -> int:
        try:
            async with wire(gateway):
                return 200
        except InvalidStatus as refused:
            return refused.response.status_code if "retry-after" in refused.response.headers else 0

    async def test_the_process_is_full(self, redis_url):
        with Gateway(redis_url, limits=quick(sessions=1)) as gateway:
            async with wire(gateway), wire(gateway) as second:
                assert await second.closed() == 4007

    async def test_a_student_has_enough(self, redis_url):
        student = uuid4()
        with Gateway(redis_url, limits=quick(sessions_per_student=2)) as gateway:
            async with wire(gateway, token(student)) as a, wire(gateway, token(student)) as b:
                for session in (a, b):
                    await session.send(type="connect")
                    await session.until("connected")
                async with wire(gateway, token(student)) as third:
                    await third.send(type="connect")
                    assert await third.closed() == 4504
                gateway.commit(student)
                assert await a.events(1) == [1]

    async def test_an_address_has_enough(self, redis_url):
        with Gateway(redis_url, limits=quick(sessions_per_address=1)) as gateway:
            async with wire(gateway):
                assert await self._try(gateway) == 503
            await wait_until_async(lambda: gateway.door.hub.sessions == 0)
            assert await self._try(gateway) == 200

    async def test_who_says_nothing_is_sent_away(self, redis_url):
        with Gateway(redis_url, limits=quick(connect_timeout_s=0.5)) as gateway:
            async with wire(gateway, token(uuid4())) as session:
                assert await session.closed() == 4006


class TestOffences:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "garbage",
            "[]",
            "null",
            '{"type":"pong"}',
            '{"type":"connect","since":7}',
            b"\x00\xff",
            '{"type":"connect","x":' + "[" * 3000 + "]" * 3000 + "}",
        ],
    )
    async def test_a_first_frame_that_is_none(self, steady, text):
        async with wire(steady, token(uuid4())) as session:
            await session.connection.send(text)
            assert (await session.frame())["code"] == "bad_request"
            assert await session.closed() == 4501

    async def test_connect_twice(self, steady):
        async with wire(steady, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            await session.send(type="connect")
            assert (await session.frame())["code"] == "bad_request"
            assert await session.closed() == 4501

    async def test_a_frame_that_is_too_long(self, steady):
        async with wire(steady, token(uuid4())) as session:
            await session.connection.send("x" * 16_385)
            assert await session.closed() == 1009

    async def test_a_flood(self, steady):
        async with wire(steady, token(uuid4())) as session:
            await session.send(type="connect")
            for _ in range(60):
                await session.send(type="ack", seq=0)
            assert await session.closed() == 4005

    async def test_an_unknown_type_is_forgiven(self, steady):
        async with wire(steady, token(uuid4())) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            await session.send(type="presence")
            assert (await session.frame())["code"] == "unknown_type"
            await session.send(type="sync", since={"epoch": "e1", "seq": 0})
            await session.until("caught-up")

    async def test_no_pong(self, redis_url):
        with Gateway(redis_url, limits=quick(ping_s=0.5, pong_s=0.5)) as gateway:
            async with wire(gateway, token(uuid4())) as session:
                await session.send(type="connect")
                assert await session.closed() == 4003


async def test_a_pong_keeps_it_open(redis_url):
    student = uuid4()
    with Gateway(redis_url, limits=quick(ping_s=0.5, pong_s=0.5)) as gateway:
        gateway.log.append(student)
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect")
            await session.until("caught-up")
            for _ in range(3):
                ping = await session.until("ping")
                assert ping["head"] == 1
                await session.send(type="pong", seq=1)


async def test_a_stalled_reader_costs_little_and_is_freed(redis_url):
    """It stops reading; its events are many. uvicorn before 0.52.1 would buffer them all."""
    limits = quick(write_stall_s=1.0, tcp_user_timeout_ms=1500, queue_events=50, queue_bytes=60_000)
    student = uuid4()
    with Gateway(redis_url, limits=limits) as gateway:
        sock = socket.create_connection(("127.0.0.1", gateway.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(5)
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: kc.v1, kc.bearer.{token(student)}\r\n\r\n".encode()
        )
        assert b"101" in sock.recv(1024)
        hello = b'{"type":"connect"}'
        sock.sendall(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
        await wait_until_async(lambda: gateway.door.hub.students == 1)
        for _ in range(600):
            gateway.commit(student, filler="x" * 8000)
        (member,) = gateway.door.hub._members
        assert member.session.feed._bytes <= 60_000 + 9_000
        await wait_until_async(lambda: gateway.door.hub.sessions == 0, timeout_s=10)
        assert gateway.count("kcactors_session_close_total", code="4002", reason="slow_consumer") == 1
        connections = gateway._server.server_state.connections
        await wait_until_async(lambda: not connections, timeout_s=10, what="the kernel has dropped it")
        sock.close()


async def test_a_drain_tells_everybody_and_takes_nobody(redis_url):
    students = [uuid4() for _ in range(20)]
    with Gateway(redis_url) as gateway:
        sessions = []
        async with asyncio.timeout(20):
            async with contextlib.AsyncExitStack() as stack:
                for student in students:
                    session = await stack.enter_async_context(wire(gateway, token(student)))
                    await session.send(type="connect")
                    await session.until("caught-up")
                    sessions.append(session)
                await asyncio.to_thread(gateway.in_loop, gateway.door.drain(0.3))
                for session in sessions:
                    assert 0 < (await session.until("going-away"))["retry_after_ms"] <= 1000
                    assert await session.closed() == 4000
        with pytest.raises(InvalidStatus) as refused:
            async with wire(gateway):
                pass
        assert refused.value.response.status_code == 503


async def test_the_heads_of_a_storm_are_read_together(gateway):
    students = [uuid4() for _ in range(100)]
    before = gateway.log.reads

    async def come(student: UUID) -> None:
        async with wire(gateway, token(student)) as session:
            await session.send(type="connect", since={"epoch": "e1", "seq": 0})
            await session.until("caught-up", timeout_s=20)

    await asyncio.gather(*(come(student) for student in students))
    assert gateway.log.reads - before < len(students)


async def test_events_keep_their_order_under_load(gateway):
    student = uuid4()
    async with wire(gateway, token(student)) as session:
        await session.send(type="connect")
        await session.until("caught-up")

        def commit_many() -> None:
            for _ in range(300):
                gateway.commit(student)

        work = asyncio.create_task(asyncio.to_thread(commit_many))
        assert await session.events(300, timeout_s=20) == list(range(1, 301))
        await work
