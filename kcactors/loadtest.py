"""Load on a running node or cluster, with a check of the promise at the end.

It takes the service's own settings from the environment: the database to check, the brokers, and the secrets with
which it signs webhooks and tokens. Its students are its own, so that it may run beside real ones on a test system.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import uvloop

from actors.store.catalog import decode_catalog, export_catalog
from kcactors.exits import WrongUse
from kcactors.load.plan import Pattern, Shape, deliveries, payments, students
from kcactors.load.report import Result
from kcactors.load.run import Load, Target
from kcactors.output import Output
from kcactors.settings import Settings, load
from kcactors.verbs.tokens import mint

_TOKEN_TTL_S: Final = 86_400


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. ``rate_per_s`` None is as fast as possible; ``idle_s`` None is the setting of the nodes."""

    targets: Sequence[str]
    kafka: bool
    payments: int
    students: int
    duplicates: float
    pattern: Pattern
    zipf: float
    rate_per_s: float | None
    sessions: int
    seed: int
    idle_s: float | None = None


def loadtest(order: Order, output: Output) -> Result:
    """Runs the load.

    Raises:
        WrongUse: no way into the service is named, or something that the way needs is missing.
        WrongSettings: a setting that it needs is missing or wrong.
        ServiceAway: the service, the broker or the database does not answer.
    """
    if not order.targets and not order.kafka:
        raise WrongUse("name --target URL, --kafka, or both")
    if order.sessions and not order.targets:
        raise WrongUse("--sessions needs a --target to open them at")
    needs = {"database", "student"}
    needs |= {"kafka"} if order.kafka else set()
    needs |= {"auth"} if order.sessions else set()
    needs |= {"webhook"} if order.targets else set()
    settings = load(needs=frozenset(needs))
    if order.targets and not settings.webhook.secrets_kc:
        raise WrongUse("--target needs KCACTORS_WEBHOOK_SECRETS_KC to sign webhooks with")
    courses = [course.course_id for course in decode_catalog(export_catalog(settings.database.url)).courses]
    if not courses:
        raise WrongUse("there is nothing to sell: kcactors catalog import FILE")
    idle_s = settings.student.idle_s if order.idle_s is None else order.idle_s
    return uvloop.run(_run(order, idle_s, _target(order, settings), courses, output))


def _target(order: Order, settings: Settings) -> Target:
    kafka = settings.kafka
    return Target(
        database_url=settings.database.url,
        broker=kafka.broker() if order.kafka else None,
        # Only the embedded broker has to be told its version, and only it forgets what is far ahead of the consumer.
        embedded=kafka.api_version is not None,
        payment_topic=kafka.payment_topic,
        business_topic=kafka.business_topic,
        group=kafka.group_id,
        nodes=[target.rstrip("/") for target in order.targets],
        webhook_secret=next(iter(settings.webhook.secrets_kc), ""),
        token=lambda student: mint(settings.auth, student_id=uuid.UUID(student), ttl_s=_TOKEN_TTL_S),
    )


async def _run(
    order: Order, idle_s: float, target: Target, courses: Sequence[uuid.UUID], output: Output
) -> Result:
    shape = Shape(
        run=f"load-{uuid.uuid4().hex[:8]}",
        payments=order.payments,
        students=order.students,
        duplicates=order.duplicates,
        pattern=order.pattern,
        zipf=order.zipf,
        webhook_share=_webhook_share(order),
        seed=order.seed,
    )
    captured = payments(shape, courses, datetime.now(UTC))
    sent = deliveries(shape, captured, round(order.duplicates * order.payments))
    everybody = [str(student) for student in students(shape.run, shape.students)]
    late = order.pattern is Pattern.LATE
    now, later = (sent[: order.payments], sent[order.payments :]) if late else (sent, [])
    trouble, settled_s = [], 0.0
    async with Load(target, everybody, everybody[: order.sessions], output) as running:
        phase = await running.phase("Payments", now, order.rate_per_s)
        settled_s += phase.settled_s
        if later:
            awake = await running.sleep_in(idle_s)
            if awake:
                trouble.append(f"{awake} students were still awake when their duplicates came")
            again = await running.phase(
                "Their duplicates, after the students were put away", later, order.rate_per_s
            )
            settled_s += again.settled_s
        verdict, counts = await running.verdict()
        absorbed_by = await running.absorbed() if order.targets else None
        moments = running.moments()
    return Result(
        payments=order.payments,
        deliveries=len(sent),
        counts=counts,
        verdict=verdict,
        throughput_payments_per_s=phase.payments_per_s,
        speeds=phase.speeds if order.rate_per_s else {},
        trouble=trouble,
        order={
            **msgspec.structs.asdict(order),
            "idle_s": idle_s,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        moments=moments,
        absorbed_by=absorbed_by,
        settled_s=settled_s,
    )


def _webhook_share(order: Order) -> float:
    if not order.kafka:
        return 1.0
    return 0.5 if order.targets else 0.0
