"""What a node says of itself, and what its silence means. Pure, with time passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

REPORT_S: Final = 2.0
LOST_AFTER_S: Final = 8.0
"""Four reports that did not come."""
KEPT_S: Final = 3600
"""How long a lost node is shown before it is forgotten."""


class Quantiles(msgspec.Struct, frozen=True):
    """Seconds over the last minute; None where nothing was measured."""

    p50_s: float | None = None
    p99_s: float | None = None


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One node's own figures.

    Counts are since its start, ages in seconds, ``at`` and ``started_at`` Unix seconds; ``beat`` grows with every
    report. ``outcomes`` counts payment events by what became of them, ``absorbed`` duplicates by what caught them.
    """

    id: str
    beat: int
    at: float
    started_at: float
    version: str
    roles: Sequence[str]
    partitions: Sequence[int]
    in_flight: int
    sessions: int
    payments_per_s: float
    payment_to_commit: Quantiles
    commit_to_screen: Quantiles
    oldest_s: float
    actors: int
    restarts: int
    parked: int
    conservation_error: int
    outbox_age_s: float | None
    degraded: Sequence[str]
    outcomes: Mapping[str, int]
    absorbed: Mapping[str, int]


class Seen(msgspec.Struct, frozen=True):
    """A node as another one sees it: ``up``, ``degraded`` or ``lost``, and seconds since its last report."""

    report: NodeReport
    state: str
    silent_s: float


class Roll:
    """Who reports, and who has stopped doing so.

    The age of a report is counted from when it was first seen here, so that clocks that differ between nodes make
    nobody lost; only a report that is old when it is first seen is judged by its own time.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[NodeReport, float]] = {}

    def hear(self, reports: Mapping[str, NodeReport], now_s: float, wall: float) -> None:
        """Take the reports that stand on the board now; whoever is not there any more has said goodbye."""
        heard: dict[str, tuple[NodeReport, float]] = {}
        for node, report in reports.items():
            known = self._heard.get(node)
            if known is None:
                heard[node] = report, now_s - max(0.0, wall - report.at)
            elif (known[0].beat, known[0].started_at) == (report.beat, report.started_at):
                heard[node] = known
            else:
                heard[node] = report, now_s
        self._heard = heard

    def own(self, report: NodeReport, now_s: float) -> None:
        """Take this node's own report, which needs no board."""
        self._heard = {**self._heard, report.id: (report, now_s)}

    def seen(self, now_s: float) -> list[Seen]:
        """Every node, by name, as of the moment when the board was last read."""
        return [
            Seen(report, _judged(report, now_s - heard_s), max(0.0, now_s - heard_s))
            for _, (report, heard_s) in sorted(self._heard.items())
        ]


def _judged(report: NodeReport, silent_s: float) -> str:
    if silent_s > LOST_AFTER_S:
        return "lost"
    return "degraded" if report.degraded else "up"


class Totals(msgspec.Struct, frozen=True):
    """The cluster as one. Rates and sessions are of the nodes that are there, counts of all that were heard."""

    nodes: int
    lost: int
    sessions: int
    payments_per_s: float
    deliveries: int
    payments: int
    recovered: int
    conflicts: int
    parked: int
    absorbed: Mapping[str, int]
    oldest_s: float
    outbox_age_s: float | None
    restarts: int
    conservation_error: int


def totals(nodes: Sequence[Seen]) -> Totals:
    """Add the nodes up."""
    there = [seen.report for seen in nodes if seen.state != "lost"]
    heard = [seen.report for seen in nodes]

    def outcome(*names: str) -> int:
        return sum(report.outcomes.get(name, 0) for report in heard for name in names)

    absorbed = {
        stage: sum(report.absorbed.get(stage, 0) for report in heard)
        for stage in sorted({"mailbox", "effect"}.union(*(report.absorbed for report in heard)))
    }
    ages = [report.outbox_age_s for report in there if report.outbox_age_s is not None]
    return Totals(
        nodes=len(nodes),
        lost=len(nodes) - len(there),
        sessions=sum(report.sessions for report in there),
        payments_per_s=round(sum(report.payments_per_s for report in there), 3),
        deliveries=sum(sum(report.outcomes.values()) for report in heard),
        payments=outcome("created", "recovered"),
        recovered=outcome("recovered"),
        conflicts=outcome("conflict"),
        parked=outcome("parked"),
        absorbed=absorbed,
        oldest_s=max((report.oldest_s for report in there), default=0.0),
        outbox_age_s=max(ages, default=None),
        restarts=sum(report.restarts for report in there),
        conservation_error=sum(report.conservation_error for report in there),
    )
