"""The checks: each is one named SQL statement that returns the subjects which are not as promised.

None may cry wolf on a busy healthy system. What one transaction writes together needs no time at all (``settled_s`` is
there for foreign writers, who are not so careful); what has to travel first (an allocation, an event on its way to
Kafka) has ``pending_s``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from actors.reconciler.duty import SHARE_MAX
from actors.store.connection import Connection


class AuditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How often to look, how old something must be to be a finding, how many findings of a kind one look names.

    A node's looks together take at most ``share_max`` of a core in the long run.
    """

    interval_s: float = 30.0
    settled_s: float = 5.0
    pending_s: float = 60.0
    parked_s: float = 3600.0
    most: int = 500
    share_max: float = SHARE_MAX


class Check(msgspec.Struct, frozen=True):
    """One question, by the name of its statement. ``mends`` says that ``--fix`` knows a safe answer to its findings."""

    code: str
    query: str
    help: str
    mends: bool = False

    @property
    def kind(self) -> str:
        """Name of its findings."""
        return self.query.removeprefix("audit_")


class Case(msgspec.Struct, frozen=True):
    """One thing that is not as it should be, since when, and what is known about it."""

    subject: str
    detail: dict[str, Any]
    since: datetime


class Looked(msgspec.Struct, frozen=True):
    """What one look came to; ``complete`` is false where there were more cases than one look names."""

    check: Check
    cases: list[Case]
    complete: bool


CHECKS = (
    Check("A1", "audit_payment_without_purchase", "captured payment, no purchase", mends=True),
    Check("A2", "audit_purchase_without_allocation", "paid purchase nobody allocates", mends=True),
    Check("A3", "audit_purchase_without_payment", "purchase whose payment was not captured"),
    Check("A4", "audit_mark_without_effect", "marked as processed, nothing stands", mends=True),
    Check("A5", "audit_missing_event", "change that no event tells of, or that does not leave", mends=True),
    Check("A6", "audit_lane_hole", "event numbers of a student with a hole"),
    Check("A7", "audit_echo_behind", "event that never came back from Kafka", mends=True),
    Check("A8", "audit_refund_sum", "refunds do not add up to the purchase"),
    Check("A9", "audit_disputed_access", "dispute that the purchase does not follow"),
    Check("A10", "audit_double_payment", "order paid more than once"),
    Check("A11", "audit_provider_differs", "provider's statement says otherwise"),
    Check("A12", "audit_parked_overdue", "parked message nobody dealt with"),
    Check("A13", "audit_lane_blocked", "student whose messages keep failing"),
    Check("A14", "audit_trainer_load", "trainer's load is not the allocations", mends=True),
    Check("-", "audit_conflict", "message that contradicts what stands"),
)
"""All checks, in the order of the table that an operator sees. The last is found by the transaction itself."""


def look(connection: Connection, check: Check, limits: AuditLimits) -> Looked:
    """Ask one question.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    values = msgspec.structs.asdict(limits) | {"most": limits.most + 1}
    cases: dict[str, Case] = {}
    rows = connection.rows(check.query, values)
    for subject, detail, since in rows:
        cases.setdefault(subject, Case(subject, msgspec.json.decode(detail), since))
    found = list(cases.values())[: limits.most]
    return Looked(check, found, complete=len(rows) <= limits.most)
