"""What the audit shows: for each kind, how many findings are open and how old the oldest is."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from actors.audit.checks import CHECKS
from actors.audit.findings import OpenFindings


class AuditMetrics:
    """Metrics of the auditor. Every kind is there from the start, so that an alert has something to be 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("kcactors_findings", "Open findings by kind", ("kind",), registry=registry)
        self._oldest = Gauge(
            "kcactors_finding_oldest_seconds", "Age of the oldest open finding", ("kind",), registry=registry
        )
        self._looks = Counter(
            "kcactors_audit_looks", "Questions that this node's audit asked", ("kind",), registry=registry
        )
        self._removed = Counter(
            "kcactors_retention_rows", "Old rows that retention removed", ("table",), registry=registry
        )
        self._kinds = {check.kind for check in CHECKS}
        self.findings([])

    def findings(self, found: Sequence[OpenFindings]) -> None:
        """What is open now; a kind that is not named has none."""
        self._kinds |= {each.kind for each in found}
        by_kind = {each.kind: each for each in found}
        for kind in self._kinds:
            one = by_kind.get(kind)
            self._open.labels(kind).set(one.count if one else 0)
            self._oldest.labels(kind).set(max(0.0, one.oldest_s) if one else 0)

    def looked(self, kind: str) -> None:
        """One question was asked."""
        self._looks.labels(kind).inc()

    def removed(self, table: str, rows: int) -> None:
        """Retention took so many rows."""
        self._removed.labels(table).inc(rows)
