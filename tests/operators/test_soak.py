"""The long run: a busy healthy node under everything that payments may bring, and an audit that never cries wolf.

``SOAK_SECONDS`` (600) is how long, ``SOAK_RATE`` (40) how many payments a second; each is delivered about three times.
"""

import http.client
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.audit.audit import audit
from actors.audit.checks import CHECKS, AuditLimits
from actors.hand import Hand
from actors.store.connection import Connection
from actors.store.migrate import migrate
from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.money.shop import Shop
from tests.node.conftest import create_database
from tests.node.house import catalogue
from tests.operators.lives import Delivery, Lives
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
RATE_PER_S = float(os.environ.get("SOAK_RATE", "40"))
COURSES, TRAINERS = 6, 2
SENDERS = 12
TRIES = 5
LOOK_EVERY_S = 5.0
SAY_EVERY_S = 10.0
SETTLE_S = 120.0

Say = Callable[[str], None]


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """Says a line on the terminal while the test runs."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(text)

    return line


@pytest.fixture
def shop(
    tmp_path: Path,
    postgres_server: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    kafka_broker: EmbeddedKafka,
) -> Iterator[Shop]:
    """A node with the ages that a production node has; half of those who buy find room."""
    number = uuid4().hex[:8]
    database_url = create_database(postgres_server, f"soak_{number}")
    migrate(database_url)
    topics = (f"payment-events-{number}", f"business-events-{number}")
    for topic in topics:
        kafka_broker.create_topic(topic, 3)
    room = max(1, int(SECONDS * RATE_PER_S / (2 * COURSES * TRAINERS)))
    with Shop(
        tmp_path,
        database_url=database_url,
        redis_url=redis_server.url,
        kafka=kafka_broker.bootstrap,
        topics=topics,
        catalog=catalogue(courses=COURSES, trainers=TRAINERS, capacity=room),
        KCACTORS_AUDIT_INTERVAL_S=str(LOOK_EVERY_S),
        # it is the audit that is on trial here, not what it costs
        KCACTORS_AUDIT_SHARE_MAX="0.2",
        KCACTORS_RECONCILER_INTERVAL_S="5",
        KCACTORS_RECONCILER_PAYMENT_AGE_S="5",
        KCACTORS_RECONCILER_ALLOCATION_AGE_S="5",
    ) as shop:
        yield shop


class Senders:
    """Threads that deliver what is due, and what they were answered. A refused delivery comes again, as everywhere."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._due: queue.Queue[Delivery | None] = queue.Queue()
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def run(self, deliveries: list[Delivery], say: Callable[[float, int], None]) -> None:
        """Deliver all of them, each at its time."""
        for thread in self._threads:
            thread.start()
        never, started_s, said_s = threading.Event(), time.monotonic(), 0.0
        for number, delivery in enumerate(deliveries):
            while (ahead_s := delivery.due_s - (time.monotonic() - started_s)) > 0:
                never.wait(min(ahead_s, 1.0))
            if delivery.due_s >= said_s:
                said_s += SAY_EVERY_S
                say(delivery.due_s, number)
            if delivery.way == "kafka":
                self._shop.produce(delivery.says, flush=False)
            else:
                self._due.put(delivery)
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join(timeout=SETTLE_S)
        self._shop.produce()

    def _run(self) -> None:
        while (delivery := self._due.get()) is not None:
            trouble = ""
            for _ in range(TRIES):
                try:
                    outcome = self._deliver(delivery)
                except (AssertionError, OSError, http.client.HTTPException) as error:
                    trouble = repr(error)
                    continue
                with self._lock:
                    self.outcomes[outcome] += 1
                break
            else:
                self.lost.append(trouble)

    def _deliver(self, delivery: Delivery) -> str:
        if delivery.way == "stripe":
            answer = self._shop.stripe(delivery.name, **delivery.says)
        elif delivery.way == "razorpay":
            answer = self._shop.razorpay(delivery.name, **delivery.says)
        else:
            status, answer = self._shop.webhook(delivery.says, timeout_s=45)
            assert status == 200, answer
        return str(answer["outcome"])


def looks(shop: Shop) -> dict[str, float]:
    """How often the node's audit has asked each of its questions."""
    connection = http.client.HTTPConnection("127.0.0.1", shop.node.port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    found = [line.split(" ") for line in lines if line.startswith("kcactors_audit_looks_total{")]
    return {name.split('"')[1]: float(value) for name, value in found}


def findings(shop: Shop) -> list[tuple[Any, ...]]:
    """Everything that was ever found, also what was over a moment later."""
    return shop.rows(
        "select kind, subject, state, detail, last_at - first_at from finding order by id limit 20"
    )


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 4 * SETTLE_S)
def test_a_busy_healthy_system_has_no_finding(shop: Shop, say: Say) -> None:
    lives = Lives(1, seconds=SECONDS, rate_per_s=RATE_PER_S, courses=shop.courses)
    deliveries = lives.deliveries()
    senders = Senders(shop)

    def progress(at_s: float, sent: int) -> None:
        found = findings(shop)
        say(
            f"soak {at_s:4.0f} of {deliveries[-1].due_s:.0f} s: {sent} of {len(deliveries)} deliveries,"
            f" {shop.count('purchase')} purchases, {shop.count('event')} events,"
            f" {int(sum(looks(shop).values()))} looks, {len(found)} findings"
        )
        assert found == []

    senders.run(deliveries, progress)
    assert senders.lost == []
    wait_until(lambda: shop.count("purchase") == lives.payments, SETTLE_S, what="every payment bought")
    wait_until(lambda: shop.count("outbox") == 0, SETTLE_S, what="every event on Kafka")
    applied = "select count(distinct payment_id) from refund where status = 'applied'"
    wait_until(lambda: shop.rows(applied) == [(lives.refunds,)], SETTLE_S, what="every refund applied")
    shop.is_sound()
    assert shop.rows("select kind, subject from finding") == []
    assert shop.rows("select stage, reason from parked where state = 'open'") == []
    assert senders.outcomes["conflict"] == 0
    assert shop.count("dispute") == lives.disputes
    looked = looks(shop)
    assert set(looked) == {check.kind for check in CHECKS}
    assert min(looked.values()) >= 0.5 * SECONDS / LOOK_EVERY_S, "an audit that hardly looks proves nothing"
    say(f"outcomes of webhooks: {dict(senders.outcomes)}; looks of each check: {int(min(looked.values()))}")
    with Connection(shop.database_url, "test") as connection:
        at_once = AuditLimits(settled_s=0.0, pending_s=0.0, parked_s=0.0)
        lines = audit(Hand(connection, lambda _: None), at_once, lambda: datetime.now(UTC))
        open_ones = {line.kind: line.open for line in lines if line.open}
    assert open_ones == {}, "at rest nothing needs time"
    shop.run(
        "update trainer set load = load + 1 where trainer_id = (select min(trainer_id::text)::uuid from trainer)"
    )
    wait_until(
        lambda: shop.rows("select kind from finding where state = 'open'") == [("trainer_load",)],
        60,
        what="that the same audit finds what is broken",
    )
