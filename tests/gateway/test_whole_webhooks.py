"""A webhook that comes whole in one read takes a way of its own; nobody outside may see a difference."""

import gc
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from actors.protocol.outcome import Outcome, Settled, Source
from actors.protocol.payments import PaymentEvent
from gateway.limits import GatewayLimits
from gateway.webhooks.kc import sign
from gateway.webhooks.waiting import WaitingWebhook
from kcactors.wholewebhooks import WholeWebhooks
from tests.gateway.support import WEBHOOK_SECRET, Gateway, RecordingIntake, payment
from tests.support.waiting import wait_until

HOOK = "/api/v1/webhooks/kc"
BODY_MAX = 2_000


class HoldingIntake(RecordingIntake):
    """Keeps every source until the test answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[Source] = []

    def submit(self, event: PaymentEvent, source: Source) -> None:
        self.sources.append(source)


class BrokenIntake(RecordingIntake):
    def submit(self, event: PaymentEvent, source: Source) -> None:
        raise ZeroDivisionError("a secret of ours")


class Hand:
    """A connection that a test writes on by hand."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self.socket.makefile("rb")
        self.short_ways = 0
        entrance = gateway.app.entrances[HOOK]
        take = entrance.take

        def counted(*args: Any) -> None:
            self.short_ways += 1
            take(*args)

        entrance.take = counted  # type: ignore[method-assign, assignment]  # watched, not replaced

    def send(self, *parts: bytes) -> None:
        """Each part is read by itself: the node has taken it before the next one is sent."""
        for part in parts:
            self.socket.sendall(part)
            if len(parts) > 1:
                self.settle_down()

    def settle_down(self) -> None:
        """Returns when the loop has read what was sent: a request on another connection was answered after it."""
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=10) as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            while other.recv(4096):
                pass

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self._read.readline().split()[1])
        headers = {}
        while (line := self._read.readline()) != b"\r\n":
            name, _, value = line.decode().strip().partition(": ")
            assert name not in headers
            headers[name] = value
        return status, headers, self._read.read(int(headers["content-length"]))

    def ended(self) -> bool:
        return self._read.read(1) == b""

    def close(self) -> None:
        self._read.close()
        self.socket.close()


@contextmanager
def hand(redis_url: str, **options: Any):
    with Gateway(redis_url, **options) as gateway:
        connection = Hand(gateway)
        try:
            yield connection
        finally:
            connection.close()


def request(
    body: bytes, *extra: str, secret: str = WEBHOOK_SECRET, head: str = f"POST {HOOK} HTTP/1.1"
) -> bytes:
    signature = sign(secret, body, int(time.time()))
    lines = [head, "host: x", f"KC-Signature: {signature}", f"content-length: {len(body)}", *extra]
    return "\r\n".join([*lines, "", ""]).encode() + body


def good() -> bytes:
    return msgspec.json.encode(payment(uuid4()))


def counts(gateway: Gateway) -> dict[str, float]:
    found = {}
    for metric in gateway.registry.collect():
        if metric.name == "kcactors_webhook":
            found.update({s.labels["answer"]: s.value for s in metric.samples if s.name.endswith("_total")})
    return found


def none_in_flight(gateway: Gateway) -> None:
    wait_until(lambda: gateway.door.webhooks_in_flight == 0)


CASES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "created": (request(good()), {}),
    "parked": (request(msgspec.json.encode(payment(uuid4(), tier=0))), {}),
    "no-json": (request(b"{"), {}),
    "empty": (request(b""), {}),
    "bad-signature": (request(good(), secret="another"), {}),
    "no-signature": (request(good()).replace(b"KC-Signature", b"X-Signature"), {}),
    "too-long": (request(b"x" * (BODY_MAX + 1)), {}),
    "refused": (request(good()), {"settled": Settled(Outcome.REFUSED, detail="the ledger is full")}),
    "too-late": (request(good()), {"settled": None, "deadline_s": 0.2}),
    "draining": (request(good()), {"draining": True}),
    "too-many": (request(good()), {"in_flight_max": 0}),
    "a-bug": (request(good()), {"intake": BrokenIntake()}),
    "close": (request(good(), "connection: close"), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_whole_and_in_parts_it_gets_the_same_answer(redis_url, case):
    sent, about = CASES[case]
    limits = GatewayLimits(
        webhook_body_bytes=BODY_MAX,
        webhook_deadline_s=about.get("deadline_s", 10.0),
        webhooks_in_flight=about.get("in_flight_max", 2_000),
    )
    answers = []
    for whole in (True, False):
        intake = about.get("intake") or RecordingIntake()
        intake.settled = about.get("settled", Settled(Outcome.CREATED, UUID(int=7)))
        with hand(redis_url, limits=limits, intake=intake) as client:
            client.gateway.door.draining = about.get("draining", False)
            middle = sent.index(b"\r\n\r\n") + 4
            if whole:
                client.send(sent)
            else:
                client.send(sent[: middle - 1], sent[middle - 1 :])
                # The body's first byte, or the empty line, came in a read of its own.
            status, headers, body = client.answer()
            assert headers.pop("date")
            none_in_flight(client.gateway)
            answers.append((status, headers, body, counts(client.gateway)))
            if headers.get("connection") == "close":
                assert client.ended()
            else:
                client.gateway.door.draining = False
                client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                assert client.answer()[0] == 200
    assert answers[0] == answers[1]
    assert sum(answers[0][3].values()) == 1


def test_it_is_the_short_way_that_a_whole_one_takes(redis_url):
    with hand(redis_url) as client:
        client.send(request(good()))
        assert client.answer()[0] == 200
        assert client.short_ways == 1
        sent = request(good())
        client.send(sent[:-1], sent[-1:])
        assert client.answer()[0] == 200
        client.send(request(good(), "expect: 100-continue"))
        assert client._read.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client._read.readline() == b"\r\n"
        assert client.answer()[0] == 200
        client.send(request(good(), head=f"POST {HOOK}?from=here HTTP/1.1"))
        assert client.answer()[0] == 200
        client.send(request(good(), head=f"PUT {HOOK} HTTP/1.1"))
        assert client.answer()[0] == 405
        client.send(request(good(), head=f"POST {HOOK} HTTP/1.0"))
        assert client.answer()[0] == 200
        assert client.ended()
        assert client.short_ways == 1


def test_chunks_in_one_read_are_one_body(redis_url):
    body = good()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    head = request(body).partition(b"content-length")[0]
    with hand(redis_url) as client:
        client.send(head + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        assert client.answer()[0] == 200
        assert client.short_ways == 1


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(redis_url):
    intake = HoldingIntake()
    with hand(redis_url, intake=intake) as client:
        client.send(request(good()) + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" + request(good()))
        wait_until(lambda: len(intake.sources) == 1)
        intake.sources[0].settle(Settled(Outcome.CREATED))
        assert json.loads(client.answer()[2]) == {"outcome": "created"}
        assert client.answer()[2].startswith(b'{"status":')
        wait_until(lambda: len(intake.sources) == 2)
        intake.sources[1].settle(Settled(Outcome.EXISTS))
        assert json.loads(client.answer()[2]) == {"outcome": "exists"}


def test_only_the_first_verdict_counts(redis_url):
    intake = HoldingIntake()
    with hand(redis_url, intake=intake, limits=GatewayLimits(webhook_deadline_s=0.8)) as client:
        client.send(request(good()))
        assert client.answer()[0] == 503
        client.send(request(good()))
        wait_until(lambda: len(intake.sources) == 2)
        intake.sources[0].settle(Settled(Outcome.CREATED))
        intake.sources[1].settle(Settled(Outcome.EXISTS))
        intake.sources[1].settle(Settled(Outcome.CREATED))
        assert json.loads(client.answer()[2]) == {"outcome": "exists"}
        client.send(request(good()))
        assert client.answer()[0] == 503
        assert client.gateway.door.webhooks_in_flight == 0


def test_each_has_its_own_deadline(redis_url):
    intake = HoldingIntake()
    with Gateway(redis_url, intake=intake, limits=GatewayLimits(webhook_deadline_s=1.5)) as gateway:
        clients = [Hand(gateway) for _ in range(4)]
        waited = []
        for client in clients:
            client.send(request(good()))
            began_s = time.monotonic()
            client.settle_down()
            waited.append((client, began_s))
        intake.sources[1].settle(Settled(Outcome.CREATED))
        for number, (client, began_s) in enumerate(waited):
            assert client.answer()[0] == (200 if number == 1 else 503)
            if number != 1:
                assert 1.45 < time.monotonic() - began_s < 5
            client.close()


def test_a_sender_that_leaves_harms_nobody(redis_url, caplog):
    intake = HoldingIntake()
    with Gateway(redis_url, intake=intake) as gateway:
        client = Hand(gateway)
        client.send(request(good()))
        wait_until(lambda: intake.sources)
        client.close()
        wait_until(lambda: not _open(gateway))
        intake.sources[0].settle(Settled(Outcome.CREATED))
        none_in_flight(gateway)
        assert counts(gateway) == {"created": 1}
    assert not [record for record in caplog.records if record.exc_info]


def test_a_server_that_stops_still_answers_and_hangs_up(redis_url):
    intake = HoldingIntake()
    with Gateway(redis_url, intake=intake) as gateway:
        client = Hand(gateway)
        client.send(request(good()))
        wait_until(lambda: intake.sources)
        stopping = threading.Thread(target=gateway.kill)
        stopping.start()
        wait_until(lambda: not _keeps_alive(gateway))
        intake.sources[0].settle(Settled(Outcome.CREATED))
        status, headers, _ = client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert client.ended()
        stopping.join(10)
        client.close()


def _keeps_alive(gateway: Gateway) -> bool:
    cycles = [each.cycle for each in _open(gateway) if isinstance(each, WholeWebhooks)]
    return any(cycle is not None and cycle.keep_alive for cycle in cycles)


def _open(gateway: Gateway) -> list[Any]:
    async def look() -> list[Any]:
        return list(gateway._server.server_state.connections)

    found: list[Any] = gateway.in_loop(look())
    return found


def test_nothing_of_it_waits_for_the_collector(gateway):
    """The last one is let go when its deadline would have come."""
    kinds = (WaitingWebhook, WholeWebhooks)
    gc.collect()
    gc.disable()
    try:
        for sent in (request(good()), request(good(), secret="another"), request(b"{")):
            client = Hand(gateway)
            client.send(sent)
            client.answer()
            client.close()
        gateway.intake.parked.clear()
        wait_until(lambda: not [thing for thing in gc.get_objects() if type(thing) in kinds])
    finally:
        gc.enable()
