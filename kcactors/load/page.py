"""A run as a page to show around: one HTML file with its plots in it, no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from kcactors.load.chart import Bar, Scale, Series, bars, lines
from kcactors.load.report import Result
from kcactors.load.verify import Verdict

CHECKS: Final = {
    "doubled": "No purchase, allocation or event was made twice",
    "lost": "Every payment has its purchase and its allocation",
    "sequence_holes": "Every student's events are numbered without a hole",
    "wrong_trainers": "Every trainer's load is the number of their students",
    "unpublished": "Every event reached Kafka",
    "published_holes": "Kafka has each student's events in their order",
    "missed_on_screens": "Every open screen showed every event",
    "repeated_on_screens": "No open screen showed an event twice",
}
"""What the verdict asks, in words; all of its fields."""

STAGES: Final = {
    "mailbox": "by the student's actor, from memory",
    "effect": "by the database, where the purchase stood",
}

_templates = Environment(
    loader=PackageLoader("kcactors.load", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def page(result: Result) -> str:
    """The whole page."""
    return _templates.get_template("report.html").render(
        result=result,
        counts=result.counts,
        figures=_figures(result),
        checks=[(text, getattr(result.verdict, name)) for name, text in CHECKS.items()],
        trouble=[*result.trouble, *_not_consumed(result)],
        plots=_plots(result),
        order=[(name.replace("_", " "), _said(value)) for name, value in result.order.items()],
    )


def _figures(result: Result) -> list[tuple[str, str, str]]:
    counts = result.counts
    found = [
        (f"{result.throughput_payments_per_s:,.0f}/s", "distinct payments", "first send to last purchase"),
        (
            f"{result.deliveries_per_s:,.0f}/s",
            "deliveries, duplicates included",
            "until everything was settled",
        ),
        (f"{result.absorbed:,}", "duplicates absorbed", f"of {result.deliveries:,} deliveries"),
    ]
    for via, speed in result.speeds.items():
        for what, latency in (("commit", speed.to_commit), ("screen", speed.to_screen)):
            if latency.samples:
                found.append(
                    (
                        f"{latency.p99:,.0f} ms",
                        f"{via} to {what}, 99 of 100",
                        f"half within {latency.p50:,.1f} ms, {latency.samples:,} payments",
                    )
                )
    if counts.events_seen:
        found.append(
            (f"{counts.events_seen:,}", "events on open screens", f"of {counts.events_of_watched:,}")
        )
    return found


def _plots(result: Result) -> list[str]:
    moments = result.moments
    bought = [(m.at_s, m.purchases_per_s) for m in moments if m.purchases_per_s is not None]
    drawn = [
        lines(
            "Throughput over the run",
            [
                Series("deliveries", [(m.at_s, m.deliveries_per_s) for m in moments]),
                Series("distinct purchases", bought),
            ],
            x="seconds",
            y="per second",
        )
    ]
    if curves := list(_curves(result)):
        drawn.append(
            lines(
                "Latency by percentile, from when a payment was due",
                curves,
                x="share of payments that were at least as quick",
                y="milliseconds",
                x_scale=Scale.NINES,
                y_scale=Scale.LOG,
            )
        )
        drawn.append(
            lines(
                "Payment to commit over the run",
                [
                    Series("99 of 100", [(m.at_s, m.p99_ms) for m in moments if m.p99_ms is not None]),
                    Series("half", [(m.at_s, m.p50_ms) for m in moments if m.p50_ms is not None]),
                ],
                x="seconds",
                y="milliseconds",
            )
        )
    if absorbed := _absorbed(result):
        drawn.append(bars("Where duplicates were absorbed", absorbed, unit="deliveries"))
    return drawn


def _curves(result: Result) -> Iterable[Series]:
    for via, speed in result.speeds.items():
        for name, points in speed.percentiles().items():
            if points:
                yield Series(f"{via} to {name.removeprefix('payment_to_')}", points)


def _absorbed(result: Result) -> Sequence[Bar]:
    if not result.absorbed_by:
        return []
    rows = [
        Bar(STAGES.get(stage, stage), count, f"{count:,}", colour=number)
        for number, (stage, count) in enumerate(sorted(result.absorbed_by.items(), reverse=True))
    ]
    if (rest := result.absorbed - sum(result.absorbed_by.values())) > 0:
        rows.append(Bar("together with the payment, or elsewhere", rest, f"{rest:,}", colour=5))
    return rows


def _not_consumed(result: Result) -> list[str]:
    count = result.counts.not_consumed
    return [f"{count} records were never consumed"] if count else []


def _said(value: object) -> str:
    if value is None:
        return "as fast as it goes"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


assert set(CHECKS) == set(Verdict.__struct_fields__)  # noqa: S101 - a new check must not be missing on the page
