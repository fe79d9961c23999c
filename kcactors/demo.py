"""The main job on embedded services, from payment to screen, with a verdict at the end.

What it starts it stops, and its data are gone afterwards. The service is a process of its own, as in production; this
process is the world around it: the payment provider, the browsers, and the other services on Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from actors.broker import Broker
from actors.protocol.payments import PaymentSucceeded
from actors.store.account import Account
from actors.store.catalog import import_catalog
from actors.store.migrate import migrate
from kcactors.child import ChildNode
from kcactors.embedded import Services, throwaway_dir
from kcactors.embedded.ports import candidates
from kcactors.load import catalogue
from kcactors.load.extras import Extras, extras
from kcactors.load.plan import Delivery, Shape, deliveries, payments, students
from kcactors.load.report import Result
from kcactors.load.run import Load, Target
from kcactors.output import Output
from kcactors.readiness import wait_until_ready
from kcactors.sections.door import Auth
from kcactors.sections.services import Kafka
from kcactors.verbs.tokens import mint

PACED_PER_S: Final = 200.0
WATCHED_MAX: Final = 50
WEBHOOK_SHARE: Final = 0.25
COURSES: Final = 40
TRAINERS: Final = 200
PARTITIONS: Final = 12
_TOKEN_TTL_S: Final = 3600


def demo(*, count: int, buyers: int, duplicates: float, seed: int, output: Output) -> Result:
    """Runs the demo.

    Args:
        count: distinct payments, at least 2.
        buyers: students who pay.
        duplicates: deliveries beside the first one, per payment.
        seed: of everything that is drawn.
        output: where progress is told.

    Raises:
        ServiceTrouble: an embedded server or the node does not start.
        ServiceAway: one of them does not answer any more.
    """
    shape = Shape(
        run="demo",
        payments=count,
        students=buyers,
        duplicates=duplicates,
        webhook_share=WEBHOOK_SHARE,
        seed=seed,
    )
    with _service(count, output) as target:
        return asyncio.run(_run(shape, target, output))


@contextlib.contextmanager
def _service(count: int, output: Output) -> Iterator[Target]:
    """Embedded services with a catalogue, and one node beside them."""
    kafka = Kafka(bootstrap="")
    webhook_secret, auth = secrets.token_hex(24), Auth(jwt_secret=secrets.token_hex(32))
    with contextlib.ExitStack() as running:
        output.say("Starting PostgreSQL, Redis and a Kafka broker, and a node beside them …")
        folder = running.enter_context(throwaway_dir())
        topics = dict.fromkeys((kafka.payment_topic, kafka.business_topic), PARTITIONS)
        services = Services(folder, topics=topics)
        running.callback(services.postgres.destroy)
        running.enter_context(services)
        migrate(services.database_url)
        places = count // TRAINERS + count // 1000 + 3
        # The last course has room for some of those who buy it, so that the waitlist is seen at work.
        import_catalog(
            services.database_url,
            catalogue.document(courses=COURSES, trainers=TRAINERS, capacity=places, scarce=places // 4),
        )
        environment = {
            "KCACTORS_DATABASE_URL": services.database_url,
            "KCACTORS_REDIS_URL": services.redis_url,
            "KCACTORS_KAFKA_BOOTSTRAP": services.kafka_bootstrap,
            "KCACTORS_KAFKA_API_VERSION": services.kafka_api_version,
            "KCACTORS_JWT_SECRET": auth.jwt_secret or "",
            "KCACTORS_WEBHOOK_SECRETS_KC": webhook_secret,
            # The embedded broker waits for this long whenever a member comes or goes.
            "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
            # the embedded broker sits out the whole wait, even when a record comes meanwhile
            "KCACTORS_KAFKA_FETCH_WAIT_MS": "20",
            # Nobody is left to say goodbye to when it ends.
            "KCACTORS_GATEWAY_DRAIN_S": "0.5",
        }
        node = ChildNode(next(candidates()), environment, log=folder / "node.log")
        running.callback(node.stop)
        wait_until_ready([node], PARTITIONS)
        yield Target(
            database_url=services.database_url,
            broker=Broker(bootstrap=services.kafka_bootstrap, api_version=services.kafka_api_version),
            embedded=True,
            payment_topic=kafka.payment_topic,
            business_topic=kafka.business_topic,
            group=kafka.group_id,
            nodes=[node.url],
            webhook_secret=webhook_secret,
            token=lambda student: mint(auth, student_id=uuid.UUID(student), ttl_s=_TOKEN_TTL_S),
        )


async def _run(shape: Shape, target: Target, output: Output) -> Result:
    at = datetime.now(UTC)
    courses = catalogue.course_ids(COURSES)
    captured = payments(shape, courses, at)
    half = len(captured) // 2
    first, second = captured[:half], captured[half:]
    everybody = [str(student) for student in students(shape.run, shape.students)]
    watched = everybody[:: max(1, len(everybody) // WATCHED_MAX)][:WATCHED_MAX]
    async with Load(target, everybody, watched, output) as load:
        fast = await load.phase("Payments at full speed, by Kafka and webhook", _part(shape, first, 1), None)
        slow = await load.phase(
            f"Payments at {PACED_PER_S:.0f} deliveries/s, to measure latency",
            _part(shape, second, 2),
            PACED_PER_S,
        )
        hard = extras(shape.run, max(2, shape.payments // 400), courses, shape.seed, at)
        outcomes = await _hard_cases(load, target, hard, output)
        refunds = await asyncio.to_thread(_refunds, target, hard)
        await load.settle()
        verdict, counts = await load.verdict()
    recovered = outcomes.get("recovered", 0)
    trouble = []
    if refunds != hard.refunds:
        trouble.append(f"{hard.refunds} refunds were sent and {refunds} stand")
    if recovered != len(hard.marks):
        trouble.append(f"{len(hard.marks)} payments were marked and {recovered} recovered")
    return Result(
        payments=shape.payments,
        deliveries=fast.deliveries + slow.deliveries,
        counts=counts,
        verdict=verdict,
        throughput_payments_per_s=fast.payments_per_s,
        speeds=slow.speeds,
        refunds=refunds,
        recovered=recovered,
        trouble=trouble,
    )


def _part(shape: Shape, captured: list[PaymentSucceeded], number: int) -> list[Delivery]:
    """The deliveries of one half; the halves' duplicates together are those of the whole."""
    ends = [round(shape.duplicates * shape.payments * half / 2) for half in (number - 1, number)]
    share = msgspec.structs.replace(shape, seed=shape.seed + number)
    return deliveries(share, captured, ends[1] - ends[0])


async def _hard_cases(load: Load, target: Target, hard: Extras, output: Output) -> dict[str, int]:
    """Plants the marks, sends the stages; how often each outcome was answered."""
    outcomes: Counter[str] = Counter()
    await asyncio.to_thread(_plant, target, hard)
    with output.progress("Refunds, and payments that were marked and never done", len(hard.stages)) as bar:
        for number, stage in enumerate(hard.stages, 1):
            outcomes.update(await load.send(stage))
            bar(number)
    return outcomes


def _plant(target: Target, hard: Extras) -> None:
    with Account(target.database_url) as account:
        for mark in hard.marks:
            account.plant_mark(mark.provider, mark.event_id, mark.payment_id)


def _refunds(target: Target, hard: Extras) -> int:
    with Account(target.database_url) as account:
        return account.refunds(hard.students)
