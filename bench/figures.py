"""Results: a figure is the median of its runs, with their spread and its ratio to a baseline of the same minutes."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from kcactors.load.chart import Bar, bars

Row = dict[str, Any]


def figure(
    group: str, name: str, runs: Sequence[float], unit: str, baseline: Row | None = None, **more: Any
) -> Row:
    """A line of the results.

    Args:
        group: where it belongs.
        name: what was measured.
        runs: the value of each run; the figure is their median.
        unit: of the value.
        baseline: the row that it is a multiple of.
        more: further facts that the JSON keeps.
    """
    value = statistics.median(runs)
    against = baseline["value"] if baseline else None
    return {
        "group": group,
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline["name"] if baseline else None,
        "ratio": value / against if against else None,
        "low": min(runs),
        "high": max(runs),
        "runs": len(runs),
        **more,
    }


def table(rows: Sequence[Row]) -> str:
    """The rows as a person reads them; the spread stands in brackets where there were several runs."""
    width = max((len(row["name"]) for row in rows), default=0)
    lines = []
    for row in rows:
        spread = f"[{_short(row['low'])} … {_short(row['high'])}]" if row.get("runs", 1) > 1 else ""
        ratio = f"{_short(row['ratio'])} x {row['baseline']}" if row["ratio"] is not None else ""
        line = f"  {row['name']:<{width}}  {row['value']:>14,.2f} {row['unit']:<12} {spread:<24} {ratio}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def plots(rows: Sequence[Row]) -> dict[str, str]:
    """Bars for each unit of a group, by the file that they go to. Baselines are grey."""
    by_place: Mapping[tuple[str, str], list[Row]] = _by(rows)
    drawn: dict[str, str] = {}
    numbers: defaultdict[str, Iterator[int]] = defaultdict(count)
    for (group, unit), some in by_place.items():
        compared = {row["baseline"] for row in some}
        chosen = [
            Bar(
                row["name"],
                row["value"],
                _short(row["value"]),
                row.get("low") if row.get("runs", 1) > 1 else None,
                row.get("high") if row.get("runs", 1) > 1 else None,
                colour=5 if row["name"] in compared else 0,
            )
            for row in some
        ]
        if len(chosen) > 1:
            name = f"{group}-{next(numbers[group]) + 1}.svg"
            drawn[name] = bars(group.replace("_", " "), chosen, unit=unit)
    return drawn


def _by(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["group"], row["unit"]), []).append(row)
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
