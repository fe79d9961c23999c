"""Says how a run went: one JSON document, and the same for a person who reads it for the first time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from kcactors.load.pace import Speed, together
from kcactors.load.plan import Via
from kcactors.load.timeline import Moment
from kcactors.load.verify import Verdict


class Counts(msgspec.Struct, frozen=True):
    """The counts beside the verdict. ``refused`` holds webhook answers other than 200; each was sent again."""

    purchases: int
    allocated: int
    waitlisted: int
    events: int
    events_published: int
    published_again: int
    events_of_watched: int
    events_seen: int
    refused: dict[str, int]
    not_consumed: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. The hard cases are zero where there were none.

    ``order`` says how it was made; ``absorbed_by`` what the nodes say about the stage that caught each duplicate, None
    where no node was named; ``settled_s`` from the first send until nothing was on its way any more.
    """

    payments: int
    deliveries: int
    counts: Counts
    verdict: Verdict
    throughput_payments_per_s: float
    speeds: Mapping[Via, Speed]
    refunds: int = 0
    recovered: int = 0
    trouble: Sequence[str] = ()
    order: Mapping[str, Any] = {}
    moments: Sequence[Moment] = ()
    absorbed_by: Mapping[str, int] | None = None
    settled_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the promise was kept, the hard cases included."""
        return self.verdict.kept and not self.trouble and self.counts.not_consumed == 0

    @property
    def absorbed(self) -> int:
        """Deliveries that were taken and made no second effect."""
        return self.deliveries - self.counts.not_consumed - self.counts.purchases

    def document(self) -> dict[str, Any]:
        """The JSON document of ``kcactors demo``."""
        counts = self.counts
        return {
            "payments": self.payments,
            "deliveries": self.deliveries,
            "purchases": counts.purchases,
            "allocations": counts.allocated,
            "waitlisted": counts.waitlisted,
            "duplicates_absorbed": self.absorbed,
            "doubled": self.verdict.doubled,
            "lost": self.verdict.lost,
            "refunds": self.refunds,
            "recovered": self.recovered,
            "events_published": counts.events_published,
            "events_of_watched_students": counts.events_of_watched,
            "events_seen_by_sessions": counts.events_seen,
            "throughput_payments_per_s": self.throughput_payments_per_s,
            "latency_ms": together(self.speeds.values()).document(),
            "ok": self.ok,
        }

    @property
    def deliveries_per_s(self) -> float:
        """Deliveries, duplicates included, from the first send to when nothing was on its way any more."""
        return round(self.deliveries / self.settled_s, 1) if self.settled_s else 0.0

    def report(self) -> dict[str, Any]:
        """The JSON document of ``kcactors loadtest``: that of the demo, and what its page is drawn from."""
        return self.document() | {
            "order": dict(self.order),
            "deliveries_per_s": self.deliveries_per_s,
            "absorbed_by": self.absorbed_by,
            "latency_ms_by_way": {via: speed.document() for via, speed in self.speeds.items()},
            "latency_ms_percentiles": {via: speed.percentiles() for via, speed in self.speeds.items()},
            "timeline": [msgspec.structs.asdict(moment) for moment in self.moments],
            "verdict": msgspec.structs.asdict(self.verdict),
            "webhook_answers_again": self.counts.refused,
            "broken": self.broken(),
        }

    def broken(self) -> list[str]:
        """Everything that is wrong, in words; empty when the promise was kept."""
        wrong = [*self.verdict.broken(), *self.trouble]
        if self.counts.not_consumed:
            wrong.append(f"{self.counts.not_consumed} records that were never consumed")
        return wrong

    def text(self) -> RenderableType:
        """The result for a person."""
        head = "The promise was kept." if self.ok else "THE PROMISE WAS BROKEN: " + "; ".join(self.broken())
        return Group("", head, "", self._table())

    def _table(self) -> Table:
        counts, verdict = self.counts, self.verdict
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(style="dim")
        rows: list[tuple[str, object, str]] = [
            ("payments", self.payments, f"delivered {self.deliveries:,} times in all"),
            ("purchases", counts.purchases, "one for each payment"),
            ("allocations", counts.allocated, "a trainer for the student"),
            ("waitlisted", counts.waitlisted, "no trainer of the course has room"),
            ("duplicates absorbed", self.absorbed, "deliveries that changed nothing"),
            ("doubled", verdict.doubled, "purchases, allocations, events made twice"),
            ("lost", verdict.lost, "no purchase, or no allocation"),
        ]
        if self.refunds or self.recovered:
            rows += [
                ("refunds", self.refunds, "whole, in parts, early; each sent twice"),
                ("recovered", self.recovered, 'marked "processed", never done: done now'),
            ]
        rows += [
            (
                "events on Kafka",
                counts.events_published,
                f"of {counts.events:,} written; in order per student",
            ),
            (
                "events on screens",
                counts.events_seen,
                f"of {counts.events_of_watched:,} for the watched students",
            ),
            ("throughput", f"{self.throughput_payments_per_s:,.0f}/s", "distinct payments, at full speed"),
        ]
        for name, value, meaning in rows:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value), meaning)
        for via, speed in self.speeds.items():
            for name, found in ((f"{via} to commit", speed.to_commit), (f"{via} to screen", speed.to_screen)):
                if found.samples:
                    meaning = f"median of {found.samples:,}; 99 of 100 within {found.p99:.1f} ms"
                    table.add_row(name, f"{found.p50:.1f} ms", meaning)
        return table
