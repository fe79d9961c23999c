"""The hard cases of a demo: refunds in every order, and payments that were marked as processed and never were."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from actors.protocol.ids import NAMESPACE
from kcactors.load.plan import Delivery, Via, delivery, payment, refund


class Mark(msgspec.Struct, frozen=True):
    """A row to plant in the inbox before its payment comes."""

    provider: str
    event_id: str
    payment_id: str


class Extras(msgspec.Struct, frozen=True):
    """Payments beside the counted ones.

    ``stages`` are sent one after the other, each only when the one before was answered.
    """

    students: list[str]
    payments: int
    refunds: int
    marks: list[Mark]
    stages: list[list[Delivery]]


def extras(run: str, cases: int, courses: Sequence[UUID], seed: int, at: datetime) -> Extras:
    """Makes ``cases`` of each kind: refunded, partly refunded twice, refunded before it was paid, and marked.

    Each delivery comes by webhook, so that its outcome is known, and each refund comes twice.
    """
    rng = random.Random(f"{seed}:extras")  # noqa: S311 - reproducible, not secret
    everybody = [uuid5(NAMESPACE, f"load:{run}:extra:{number}") for number in range(4 * cases)]
    paid = [
        payment(f"{run}-x{number:06d}", student, rng.choice(courses), 4, at)
        for number, student in enumerate(everybody)
    ]
    whole, parts, early, marked = (paid[kind * cases : (kind + 1) * cases] for kind in range(4))
    half = [each.amount // 2 for each in parts]
    before = [refund(each, 1, each.amount, at) for each in early]
    after = [refund(each, 1, each.amount, at) for each in whole]
    after += [refund(each, 1, amount, at) for each, amount in zip(parts, half, strict=True)]
    last = [refund(each, 2, each.amount - amount, at) for each, amount in zip(parts, half, strict=True)]
    stages = [
        [delivery(each, Via.WEBHOOK) for each in before],
        [delivery(each, Via.WEBHOOK) for each in paid],
        [delivery(each, Via.WEBHOOK, first=False) for each in [*after, *after, *before]],
        [delivery(each, Via.WEBHOOK, first=False) for each in [*last, *last]],
    ]
    return Extras(
        students=[str(student) for student in everybody],
        payments=len(paid),
        refunds=len(before) + len(after) + len(last),
        marks=[Mark(each.provider, each.event_id, each.payment_id) for each in marked],
        stages=[[msgspec.structs.replace(each, first=False) for each in stage] for stage in stages],
    )
