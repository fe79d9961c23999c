"""A batch as the database takes it, and its answer. Pure: no connection, no actor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from actors.ledger.rows import (
    DisputeRow,
    NoticeRow,
    ParkRow,
    PaymentRow,
    RefundRow,
    UnnamedRow,
    dispute_row,
    notice_row,
    park_row,
    payment_row,
    refund_row,
    unnamed_row,
)
from actors.messages import Park, Write
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import (
    PaymentDisputed,
    PaymentNoticed,
    PaymentRefunded,
    PaymentSucceeded,
    PaymentUnnamed,
    RefundReported,
    payment_key,
)


class Batch(msgspec.Struct, omit_defaults=True):
    """The argument of ``kc.apply``; what a batch does not hold is not named."""

    payments: list[PaymentRow] = []
    refunds: list[RefundRow] = []
    disputes: list[DisputeRow] = []
    notices: list[NoticeRow] = []
    unnamed: list[UnnamedRow] = []
    parks: list[ParkRow] = []


class Verdict(msgspec.Struct, array_like=True, frozen=True):
    """What became of message ``i`` of a batch."""

    i: int
    outcome: Outcome
    purchase_id: UUID | None
    detail: str | None
    allocate: bool

    def settled(self) -> Settled:
        """The answer for the source."""
        # with a detail the purchase stood and something about it changed: no duplicate
        absorbed_by = "effect" if self.outcome is Outcome.EXISTS and self.detail is None else None
        return Settled(self.outcome, self.purchase_id, self.detail, absorbed_by)


class Applied(msgspec.Struct, frozen=True):
    """The answer of ``kc.apply``: a verdict for each payment event, and every event that it logged."""

    verdicts: list[Verdict]
    events: list[LoggedEvent]


Message = Write | Park

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Applied).decode


def split(messages: Iterable[Message]) -> tuple[list[Message], list[Message]]:
    """Those that fit into one transaction, and the rest in their order.

    A transaction holds each payment once: students see to that for their own, but one payment may come under two.
    """
    now: list[Message] = []
    later: list[Message] = []
    taken: set[tuple[str, str]] = set()
    for message in messages:
        if isinstance(message, Write):
            key = payment_key(message.deliver.event)
            if key in taken:
                later.append(message)
                continue
            taken.add(key)
        now.append(message)
    return now, later


def encode(messages: Sequence[Message]) -> bytes:
    """The JSON text for ``kc.apply``; position in ``messages`` is the message's ``i``."""
    batch = Batch()
    for i, message in enumerate(messages):
        if isinstance(message, Park):
            batch.parks.append(park_row(message))
            continue
        deliver = message.deliver
        match deliver.event:
            case PaymentSucceeded() as event:
                batch.payments.append(payment_row(i, deliver, event))
            case PaymentRefunded() | RefundReported() as event:
                batch.refunds.append(refund_row(i, deliver, event))
            case PaymentDisputed() as event:
                batch.disputes.append(dispute_row(i, deliver, event))
            case PaymentNoticed() as event:
                batch.notices.append(notice_row(i, deliver, event))
            case PaymentUnnamed() as event:
                batch.unnamed.append(unnamed_row(i, deliver, event))
    return _encode(batch)


def decode(text: bytes) -> Applied:
    """Read the answer of ``kc.apply``."""
    return _decode(text)
