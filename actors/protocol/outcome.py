"""What became of one message, said to whoever sent it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec


class Outcome(StrEnum):
    """The verdicts of the contract. Each but :attr:`REFUSED` stands in the database when it is said."""

    CREATED = "created"
    EXISTS = "exists"
    RECOVERED = "recovered"
    CONFLICT = "conflict"
    REFUNDED = "refunded"
    PENDING = "pending"
    IGNORED = "ignored"
    PARKED = "parked"
    REFUSED = "refused"
    """Nothing was written and nothing is lost: the source must bring the message again."""


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The answer to one submitted message.

    ``detail`` names the field or reason where there is one. ``absorbed_by`` says which stage caught a duplicate
    (``mailbox``: the student's own memory or its order; ``effect``: the database).
    """

    outcome: Outcome
    purchase_id: UUID | None = None
    detail: str | None = None
    absorbed_by: str | None = None

    @property
    def retryable(self) -> bool:
        """Whether the source has to bring the message again (a webhook answers 503, a Kafka offset stays)."""
        return self.outcome is Outcome.REFUSED


class Source(Protocol):
    """Where a message came from and where its answer goes: a Kafka offset, an open HTTP request, an operator."""

    def settle(self, settled: Settled) -> None:
        """Take the answer. Called from an actor's thread: it must not block and must not raise.

        It comes once, save that a ledger which is restarted in the middle of a batch may repeat it; the first counts.
        """
