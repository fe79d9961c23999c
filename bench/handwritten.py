"""What one would write by hand instead, as processes to compare with: one transaction a message, nothing in between.

    python -m bench.handwritten single|threads|door|reader

``single`` reads Kafka with one loop; ``threads`` gives every student a `pykka.ThreadingActor`; ``door`` answers
webhooks behind Starlette. All three do the same SQL as the service, one message at a time, allocate, and publish to
Redis and Kafka themselves, without an outbox. ``reader`` does nothing but read: what the broker and the client take.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import redis
import uvicorn
from confluent_kafka import Producer
from kafka import KafkaConsumer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from actors.allocation.transaction import allocate
from actors.ledger.batch import decode, encode
from actors.messages import Deliver, Write
from actors.protocol.envelope import LoggedEvent, channel, envelope_text, kafka_headers
from actors.protocol.outcome import Settled
from actors.protocol.payments import PaymentSucceeded, decode_payment
from actors.store.connection import Connection

CONNECTIONS = 8
COMMIT_EVERY_S = 1.0


class Silent:
    """Takes the answer and does nothing."""

    def settle(self, settled: Settled) -> None: ...


class Hands:
    """Does everything for one message, in the caller's thread."""

    def __init__(self) -> None:
        self._free: queue.Queue[Connection] = queue.Queue()
        for _ in range(CONNECTIONS):
            self._free.put(Connection(os.environ["BENCH_DATABASE_URL"], "by hand"))
        # a thread that finds none free waits, as for the database; it must not end its student
        pool = redis.BlockingConnectionPool.from_url(
            os.environ["BENCH_REDIS_URL"], max_connections=CONNECTIONS, timeout=None
        )
        self._redis = redis.Redis.from_pool(pool)
        self._producer = Producer(
            {
                "bootstrap.servers": os.environ["BENCH_KAFKA_BOOTSTRAP"],
                "acks": "all",
                "linger.ms": 2,
                "log_level": 2,
            }
        )
        with self._connection() as connection:
            self._epoch = str(connection.rows("epoch")[0][0])

    def do(self, body: bytes) -> str:
        """Buy, allocate, publish; the outcome."""
        event = decode_payment(body)
        if not isinstance(event, PaymentSucceeded):
            raise TypeError("the bench sends payments only")
        text = encode([Write(Deliver(event, Silent(), "bench", 0.0), None)])  # type: ignore[arg-type]
        with self._connection() as connection:
            applied = decode(connection.text("apply", text))
            verdict = applied.verdicts[0]
            events = list(applied.events)
            if verdict.allocate and verdict.purchase_id is not None:
                events += allocate(connection, [verdict.purchase_id])[1]
        for logged in events:
            self._publish(logged)
        return verdict.outcome.value

    def _publish(self, event: LoggedEvent) -> None:
        self._redis.publish(channel(event.student_id), envelope_text(event, self._epoch))
        self._producer.produce(
            "business-events", bytes(event.data), event.student_id, headers=[*kafka_headers(event)]
        )
        self._producer.poll(0)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)


class Student(pykka.ThreadingActor):
    """A thread for one student."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    def on_receive(self, message: bytes) -> str:
        return self._hands.do(message)


def records(group: str) -> Iterator[Any]:
    """Records of the payment topic, as the service's own client reads them, committed each second."""
    consumer = KafkaConsumer(
        "payment-events",
        bootstrap_servers=os.environ["BENCH_KAFKA_BOOTSTRAP"],
        api_version=tuple(map(int, version.split(".")))
        if (version := os.environ["BENCH_KAFKA_API_VERSION"])
        else None,
        group_id=group,
        auto_offset_reset="earliest" if group != "reader" else "latest",
        enable_auto_commit=False,
        fetch_max_wait_ms=int(os.environ["BENCH_FETCH_WAIT_MS"]),
        session_timeout_ms=6_000,
        heartbeat_interval_ms=2_000,
    )
    committed_s, ready = time.monotonic(), False
    while True:
        for some in consumer.poll(timeout_ms=100).values():
            yield from some
        if not ready and consumer.assignment():
            ready = True
            print("ready", flush=True)
        if time.monotonic() - committed_s > COMMIT_EVERY_S:
            consumer.commit()
            committed_s = time.monotonic()


def single() -> None:
    hands = Hands()
    for record in records("by-hand"):
        hands.do(record.value)


def threads() -> None:
    hands = Hands()
    students: dict[bytes, pykka.ActorRef[Student]] = {}
    for record in records("by-hand"):
        if record.key not in students:
            students[record.key] = Student.start(hands)
        students[record.key].tell(record.value)


def reader() -> None:
    """Prints each record's milliseconds from its time stamp to here, as they come."""
    for record in records("reader"):
        print(f"{max(0.0, time.time() * 1000 - record.timestamp):.2f}", flush=True)


def door() -> None:
    hands = Hands()

    async def webhook(request: Request) -> Response:
        outcome = await run_in_threadpool(hands.do, await request.body())
        return JSONResponse({"outcome": outcome})

    app = Starlette(routes=[Route("/api/v1/webhooks/kc", webhook, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=int(os.environ["BENCH_PORT"]), log_config=None, lifespan="off", access_log=False
        )
    )
    print("ready", flush=True)
    server.run()


KINDS: dict[str, Callable[[], None]] = {"single": single, "threads": threads, "door": door, "reader": reader}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
