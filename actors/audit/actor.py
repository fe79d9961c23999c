"""The auditor: own thread, own connection. It asks its questions as often as its duty allows and keeps what it finds.

One node looks at a time, by an advisory lock; each shows the findings. It only observes: the reconciler heals.
Retention is its other chore, since both are slow work over whole tables that nobody waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar, Protocol

from actors.audit.checks import CHECKS, AuditLimits, look
from actors.audit.findings import OpenFindings, open_findings, record
from actors.reconciler.duty import SHARE_MAX, Duty
from actors.reconciler.plan import planned
from actors.reconciler.retention import RetentionLimits, take_old
from actors.store.connection import Connection
from actors.store.errors import Contended, DatabaseAway
from supervision import Actor, DependencyUnavailable

logger = logging.getLogger(__name__)

ADVISORY_SPACE = 0x6B61  # "ka": the first key of the two-key advisory lock


class Measure(Protocol):
    """What the auditor reports."""

    def findings(self, found: Sequence[OpenFindings]) -> None:
        """What is open now, by kind."""

    def looked(self, kind: str) -> None:
        """One question was asked, and what it found is kept."""

    def removed(self, table: str, rows: int) -> None:
        """Retention took so many rows."""


class Auditor(Actor):
    """See the module."""

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self, connection: Connection, limits: AuditLimits, retention: RetentionLimits, measure: Measure
    ) -> None:
        super().__init__()
        self._connection = connection
        self._limits = limits
        self._retention = retention
        self._measure = measure
        self._checks = {check.kind: check for check in CHECKS}
        self._duty = Duty(limits.interval_s, limits.share_max)
        self._retain_s = 0.0

    def on_start(self) -> None:
        """Look after one interval: what a crash left is the reconciler's to heal first."""
        self._retain_s = self.context.clock.monotonic() + self._retention.interval_s
        self._timer = self.context.timers.tell_every(self._limits.interval_s, self.actor_ref, "look")

    def on_stop(self) -> None:
        """Leave the connection, and the lock with it."""
        self._timer.cancel()
        self._connection.close()

    def on_failure(self, *_: object) -> None:
        """An auditor that is made again brings its own timer and connection."""
        self.on_stop()

    def on_receive(self, message: object) -> None:
        """Every look that is due, if it is this node's turn."""
        del message
        try:
            if self._connection.rows("audit_turn", {"space": ADVISORY_SPACE})[0][0]:
                try:
                    self._look()
                    self._retain()
                finally:
                    self._connection.rows("audit_turn_over", {"space": ADVISORY_SPACE})
            self._measure.findings(open_findings(self._connection))
        except (DatabaseAway, Contended) as error:
            raise DependencyUnavailable(f"database away: {error}") from error

    def _look(self) -> None:
        clock = self.context.clock
        for kind in self._duty.in_turn(self._checks):
            check, began_s = self._checks[kind], clock.monotonic()
            if not self._duty.is_due(kind, began_s):
                return
            try:
                with planned(self._connection, whole=True):
                    looked = look(self._connection, check, self._limits)
                record(self._connection, looked)
            except Contended as error:
                logger.warning("the audit's %s was given up: %s", check.kind, error)
            else:
                self._measure.looked(check.kind)
                if looked.cases:
                    subjects = ", ".join(case.subject for case in looked.cases[:3])
                    logger.warning(
                        "%s %s: %d found, such as %s", check.code, check.kind, len(looked.cases), subjects
                    )
            self._duty.done(kind, began_s, clock.monotonic())

    def _retain(self) -> None:
        began_s = self.context.clock.monotonic()
        if began_s < self._retain_s:
            return
        try:
            taken = take_old(self._connection, self._retention)
        except Contended as error:
            logger.warning("retention was given up: %s", error)
        else:
            self._measure.removed("inbox", taken.inbox)
            self._measure.removed("event", taken.events)
        ended_s = self.context.clock.monotonic()
        self._retain_s = max(began_s + self._retention.interval_s, ended_s + (ended_s - began_s) / SHARE_MAX)
