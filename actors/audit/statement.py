"""A provider's own word about its payments, for check A11: one function a provider turns its answer into a statement.

What the provider's API answered is read as it was recorded (a file), so that no key to anybody's account is needed
here. The three buckets of a reconciliation (missing here, missing there, different) come out of one SQL statement.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from actors.protocol.payments import AmountMinor, Currency, Key
from actors.protocol.undecodable import Undecodable
from actors.store.connection import Connection


class Stated(msgspec.Struct, frozen=True):
    """One payment as its provider states it; ``state`` is ``captured`` where the money was taken."""

    provider: str
    payment_id: str
    state: str
    amount: int
    currency: str
    captured_at: datetime


class Statement(msgspec.Struct, frozen=True):
    """Everything that a provider has captured in a span of time, ``covered_to`` excluded."""

    provider: str
    covered_from: datetime
    covered_to: datetime
    payments: list[Stated]


class _RazorpayPayment(msgspec.Struct, frozen=True):
    id: Key
    status: str
    amount: AmountMinor
    currency: Currency
    created_at: Annotated[int, Meta(ge=0)]
    amount_refunded: int = 0


class _RazorpayList(msgspec.Struct, frozen=True):
    """The answer of ``GET /v1/payments?from=&to=`` with what was asked for beside it."""

    items: list[_RazorpayPayment]
    covered_from: Annotated[int, Meta(ge=0)] = msgspec.field(name="from")
    covered_to: Annotated[int, Meta(ge=0)] = msgspec.field(name="to")


_TAKEN = frozenset({"captured", "refunded"})


def razorpay(document: bytes) -> Statement:
    """Razorpay's list of payments: its ``items``, all pages put together, and the ``from`` and ``to`` of the question.

    A refunded payment was captured once; attempts that took no money are nobody's purchase and are left out.

    Raises:
        Undecodable: naming the field that is wrong.
    """
    try:
        answer = msgspec.json.decode(document, type=_RazorpayList)
    except msgspec.ValidationError as error:
        raise Undecodable.from_validation(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable("body", f"is no JSON: {error}") from error
    payments = [
        Stated("razorpay", p.id, "captured", p.amount, p.currency, _moment(p.created_at))
        for p in answer.items
        if p.status in _TAKEN
    ]
    return Statement("razorpay", _moment(answer.covered_from), _moment(answer.covered_to), payments)


SOURCES: dict[str, Callable[[bytes], Statement]] = {"razorpay": razorpay}
"""Provider to the reader of its statements; a new provider is one function here."""


def take_statement(connection: Connection, statement: Statement) -> None:
    """Keep a statement for the audit; reading it again changes nothing.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    with connection.transaction():
        connection.run("audit_statement_payments", (msgspec.json.encode(statement.payments).decode(),))
        values = {
            "provider": statement.provider,
            "covered_from": statement.covered_from,
            "covered_to": statement.covered_to,
        }
        connection.run("audit_statement_span", values)


def _moment(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
