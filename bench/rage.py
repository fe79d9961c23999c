"""The storm of `bench.storm`: one payment again and again, as fast as it is taken, until all of it is answered.

A process of its own, because whoever measures the others must not wait for a storm's interpreter.

    python -m bench.rage {kafka,webhook} COPIES < payment.json

The servers come from ``BENCH_KAFKA_BOOTSTRAP``, ``BENCH_KAFKA_API_VERSION`` (empty where the broker can be asked) and
``BENCH_NODE_URL``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import msgspec
import uvloop

from actors.broker import Broker
from bench.worker import WEBHOOK_SECRET, Worker
from kcactors.load.feeder import WEBHOOK_PATH
from kcactors.load.http import Lines
from kcactors.load.librdkafka import PaymentTopic
from kcactors.load.plan import Via
from kcactors.load.signing import HEADER, signature

Payment = dict[str, Any]
"""An event's fields."""

CONNECTIONS = 32
CONSUMED_S = 300.0
ANSWER_S = 120.0
"""For an answer that comes while the storm is held up: by its clock it then took that long."""


@contextmanager
def raging(at: Worker, via: Via, payment: Payment, copies: int) -> Iterator[subprocess.Popen[bytes]]:
    """The storm, begun; it is over when the process has ended.

    Raises:
        RuntimeError: not all of it was taken.
    """
    given = {
        **os.environ,
        "BENCH_KAFKA_BOOTSTRAP": at.services.kafka_bootstrap,
        "BENCH_KAFKA_API_VERSION": at.services.kafka_api_version or "",
        "BENCH_NODE_URL": at.node.url,
    }
    command = [sys.executable, "-m", __name__, str(via), str(copies)]
    with subprocess.Popen(command, env=given, stdin=subprocess.PIPE) as storm:
        assert storm.stdin is not None
        storm.stdin.write(msgspec.json.encode(payment))
        storm.stdin.close()
        try:
            yield storm
        except BaseException:
            storm.kill()
            raise
    if storm.returncode:
        raise RuntimeError("the storm was not taken")


@contextmanager
def held_up(storm: subprocess.Popen[bytes]) -> Iterator[None]:
    """It does nothing meanwhile."""
    storm.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        storm.send_signal(signal.SIGCONT)


def bodies(payment: Payment, copies: int) -> Iterator[bytes]:
    """The same payment, each time as another event."""
    text = msgspec.json.encode(payment | {"event_id": "evt_storm_%d"})
    before, after = text.split(b"%d")
    for number in range(copies):
        yield b"%b%d%b" % (before, number, after)


def by_kafka(payment: Payment, copies: int) -> None:
    version = os.environ["BENCH_KAFKA_API_VERSION"] or None
    broker = Broker(bootstrap=os.environ["BENCH_KAFKA_BOOTSTRAP"], api_version=version)
    topic = PaymentTopic(broker, "payment-events", "kcactors", embedded=version is not None)
    blind = 0
    for body in bodies(payment, copies):
        if blind >= topic.records_before_check():
            topic.wait_for_room()
            blind = 0
        blind += 1
        topic.send(str(payment["student_id"]), body)
    topic.flush()
    deadline_s = time.monotonic() + CONSUMED_S
    while topic.behind():
        if time.monotonic() > deadline_s:
            sys.exit("the storm was not consumed")
        time.sleep(0.02)
    topic.close()


async def by_webhook(payment: Payment, copies: int) -> None:
    lines = Lines(os.environ["BENCH_NODE_URL"], CONNECTIONS, ANSWER_S)
    rest = bodies(payment, copies)

    async def provider() -> None:
        for body in rest:
            answer = await lines.post(
                WEBHOOK_PATH, body, {HEADER: signature(WEBHOOK_SECRET, body, int(time.time()))}
            )
            if answer.status != 200:
                sys.exit(f"a duplicate was answered {answer.status}: {answer.body[:200]!r}")

    await asyncio.gather(*(provider() for _ in repeat(None, CONNECTIONS)))
    await lines.close()


def main(arguments: list[str]) -> None:
    payment: Payment = msgspec.json.decode(sys.stdin.buffer.read())
    via, copies = Via(arguments[0]), int(arguments[1])
    if via is Via.KAFKA:
        by_kafka(payment, copies)
    else:
        uvloop.run(by_webhook(payment, copies))


if __name__ == "__main__":
    main(sys.argv[1:])
