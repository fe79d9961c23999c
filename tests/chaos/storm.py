"""One run: payments with duplicates, faults from a seed meanwhile, everything healed, then the audit."""

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from actors.protocol.payments import PaymentSucceeded
from kcactors.load import catalogue, plan
from tests.chaos.audit import audit, behind
from tests.chaos.cluster import COURSES, Cluster, Feeder, wait_for
from tests.chaos.faults import Act, draw

SETTLE_S = 120.0
CALM_S = 3.0
POISON_EVERY = 500


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and how long it takes; 100 % duplicates: each payment is delivered twice on average."""

    seed: int
    payments: int = 10_000
    students: int = 400
    rate_per_s: float = 400.0
    pause_s: float = 3.0

    @property
    def duration_s(self) -> float:
        return 2 * self.payments / self.rate_per_s


QUICK: Final = Storm(seed=1, payments=600, students=60, rate_per_s=60.0, pause_s=1.6)
"""20 s of it, for every change."""
QUICK_SEEDS: Final = (1, 2, 7)
"""Together they have every kind of fault, with one broker and three nodes."""


class Found(msgspec.Struct, kw_only=True):
    """The report of a run."""

    seed: int
    nodes: int
    brokers: int
    faults: list[str]
    deliveries: int
    purchases: int
    seconds: float
    wrong: list[str]


def run(cluster: Cluster, storm: Storm, tell: Callable[[str], None] = lambda _text: None) -> Found:
    """One storm on a fresh cluster.

    Args:
        tell: hears of each fault as it happens.
    """
    started_s = time.monotonic()
    nodes = list(cluster.nodes)
    acts = draw(
        storm.seed,
        duration_s=storm.duration_s,
        nodes=len(nodes),
        brokers=len(cluster.kafka.ids),
        session_timeout_s=cluster.session_timeout_s,
        pause_s=storm.pause_s,
    )
    shape = plan.Shape(
        run=f"storm-{storm.seed}", payments=storm.payments, students=storm.students, zipf=0.5, seed=storm.seed
    )
    captured = plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))
    feeder = Feeder(cluster)
    faults, parked, deliveries = [], [], 0
    rest = list(acts)
    for deliveries, (key, body, poison) in enumerate(_bodies(shape, captured), 1):
        due_s = started_s + deliveries / storm.rate_per_s
        while rest and rest[0].at_s <= deliveries / storm.rate_per_s:
            faults.append(_act(cluster, rest.pop(0), time.monotonic() - started_s, tell))
        if time.monotonic() < due_s:
            wait_for(due_s)
        if poison:
            parked.append(body)
        feeder.send(key, body)
    for act in rest:
        if not act.begins:
            wait_for(started_s + min(act.at_s, storm.duration_s + 10.0))
            faults.append(_act(cluster, act, time.monotonic() - started_s, tell))
    heal(cluster)
    feeder.finish()
    tell("everything is healed")
    settle(cluster, storm.payments)
    wrong = audit(cluster, [p.payment_id for p in captured], parked)
    return Found(
        seed=storm.seed,
        nodes=len(nodes),
        brokers=len(cluster.kafka.ids),
        faults=[fault for fault in faults if fault],
        deliveries=deliveries,
        purchases=_count(cluster),
        seconds=round(time.monotonic() - started_s, 1),
        wrong=wrong,
    )


def _bodies(shape: plan.Shape, captured: list[PaymentSucceeded]) -> Iterator[tuple[str, bytes, bool]]:
    """Key, value, and whether it must be parked."""
    rng = random.Random(f"poison:{shape.seed}")
    for number, delivery in enumerate(plan.deliveries(shape, captured, len(captured))):
        yield delivery.student_id, delivery.body, False
        if number % POISON_EVERY == POISON_EVERY - 1:
            yield delivery.student_id, b'{"type":"PAYMENT_SUCCEEDED","number":%d' % rng.randrange(10**9), True


def _act(cluster: Cluster, act: Act, at_s: float, tell: Callable[[str], None]) -> str:
    cluster.act(act)
    number = f" {act.number}" if act.kind.endswith(("node", "broker")) else ""
    text = f"{at_s:6.1f} s  {act.kind}{number}{'' if act.begins else ': healed'}"
    tell(text)
    return text


def heal(cluster: Cluster) -> None:
    """Bring up whatever is down."""
    cluster.postgres.start()
    if cluster.redis.pid is None:
        cluster.redis.stop()
        cluster.redis.start()
    for broker in cluster.kafka.ids:
        if cluster.kafka.pid(broker) is None:
            cluster.kafka.start_broker(broker)
    for number, node in list(cluster.nodes.items()):
        node.send(signal.SIGCONT)
        if node.exit_code is not None:
            cluster.start_node(number)
    cluster.wait_ready()


def settle(cluster: Cluster, payments: int) -> None:
    """Wait until all is done, or until nothing has happened for `SETTLE_S`; the audit says what is missing then.

    Views that follow the log write events of their own, so that "done" has to last for `CALM_S`.
    """
    last: tuple[int, ...] = ()
    changed_s = time.monotonic()
    while time.monotonic() - changed_s < SETTLE_S:
        state = (_count(cluster), _open(cluster), behind(cluster), _events(cluster))
        if state == last and state[:3] == (payments, 0, 0) and time.monotonic() - changed_s > CALM_S:
            return
        if state != last:
            last, changed_s = state, time.monotonic()
        wait_for(time.monotonic() + 0.5)


def _count(cluster: Cluster) -> int:
    return int(_ask(cluster, "select count(*) from purchase"))


def _events(cluster: Cluster) -> int:
    return int(_ask(cluster, "select count(*) from event"))


def _open(cluster: Cluster) -> int:
    """Allocations that are not decided and events that Kafka does not have."""
    return int(
        _ask(
            cluster,
            "select (select count(*) from allocation where status = 'requested') + (select count(*) from outbox)",
        )
    )


def _ask(cluster: Cluster, question: str) -> Any:
    with contextlib.closing(psycopg.connect(cluster.database_url, autocommit=True)) as database:
        row = database.execute(question).fetchone()
        assert row is not None
        return row[0]
