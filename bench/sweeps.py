"""Group `sweeps`: how the cost of a payment grows with students, old purchases, duplicates, and one hot student.

    python -m bench sweeps [--quick]
    python -m bench.sweeps --only students --only memory

Each point is a node of its own over empty or filled tables, through Kafka. What is compared is CPU time a payment, of
the node and of PostgreSQL, so that the law does not depend on who else uses the machine. Points are kept in
``bench/results/sweeps-points.json`` as they come; a run that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from bench import yardstick
from bench.beside import Measured
from bench.crowd import memory_of
from bench.end_to_end import feed
from bench.figures import Row, figure
from bench.shop import Shop
from bench.worker import Worker, ground, node_on
from kcactors.load.chart import Scale, Series, lines

GROUP = "sweeps"
KNOWS_QUICK = True
POINTS = Path(__file__).parent / "results" / "sweeps-points.json"
FILL = (Path(__file__).parent / "fill.sql").read_text()
FILL_AT_ONCE = 50_000
DELIVERIES_MAX = 20_000
QUIET_SHARE, QUIET_LOOK_S, QUIET_LOOKS, QUIET_WITHIN_S = 0.1, 2.0, 4, 240.0
ALLOCATED = "select sum(load) from trainer"
Point = dict[str, float]


def student(number: int) -> str:
    """The student of an old purchase, as `fill.sql` names them."""
    return str(UUID(md5(f"student {number}".encode(), usedforsecurity=False).hexdigest()))


def bodies(
    shop: Shop,
    mark: str,
    payments: int,
    students: int,
    *,
    duplicates: float = 0.0,
    hot: float = 0.0,
    once: bool = False,
) -> list[tuple[str, bytes]]:
    """Deliveries of so many payments of so many students: student and body.

    ``duplicates`` is the share of the deliveries that repeat another; ``hot`` the share of the payments that are one
    student's; ``once``: each payment is another student's.
    """
    rng = random.Random(mark)
    payers = rng.sample(range(students), payments) if once else rng.choices(range(students), k=payments)
    total = round(payments / (1 - duplicates))
    due: list[tuple[float, dict[str, Any]]] = []
    for number in range(payments):
        who = student(0 if rng.random() < hot else payers[number])
        due.append((float(number), shop.payment(number, mark) | {"student_id": who}))
    for number in range(total - payments):
        at = number % payments
        again = due[at][1] | {"event_id": f"evt_{mark}{at}_{number}"}
        due.append((at + rng.random() * 200, again))
    due.sort(key=lambda pair: pair[0])
    return [(payment["student_id"], json.dumps(payment).encode()) for _, payment in due]


def fill(url: str, purchases: int) -> None:
    """Old purchases, in pieces, and the statistics that a table of that age has."""
    with psycopg.connect(url, autocommit=True) as database:
        for first in range(0, purchases, FILL_AT_ONCE):
            last = min(first + FILL_AT_ONCE, purchases) - 1
            database.execute(FILL.encode(), {"first": first, "last": last})
            _tell(f"    filled {last + 1:,} of {purchases:,}")
        if purchases:
            database.execute("vacuum analyze")
            # What the fill still owes the disk is not the payments' cost.
            database.execute("checkpoint")


def measure(
    payments: int,
    *,
    students: int = 2_000,
    purchases: int = 0,
    duplicates: float = 0.0,
    hot: float = 0.0,
    warm: int = 500,
    once: bool = False,
) -> Point:
    """One point: microseconds of CPU a payment and payments a second, after ``warm`` payments that do not count.

    ``once``: each payment is that of another student, whose actor has been put away, after the node's first looks at
    whole tables: the same work whatever the number of students.
    """
    payments = min(payments, round(DELIVERIES_MAX * (1 - duplicates)))
    shop = Shop()
    settings = {"KCACTORS_PROJECTIONS_SESSIONS": "false"} | ({"KCACTORS_STUDENT_IDLE_S": "2"} if once else {})
    with ground(shop) as services:
        fill(services.database_url, purchases)
        with node_on(services, **settings) as at:
            _work(at, bodies(shop, "warm", warm, students, once=once), warm)
            if once:
                _until_quiet(at)
            sent = bodies(shop, "p", payments, students, duplicates=duplicates, hot=hot, once=once)
            node_s, postgres_s, start_s = at.cpu_s(), at.postgres_s(), time.perf_counter()
            machine_us: list[Measured] = []
            with yardstick.beside(machine_us):
                done_s = _work(at, sent, payments)
            node_s, postgres_s = at.cpu_s() - node_s, at.postgres_s() - postgres_s
            holes = (
                "select count(*) from (select 1 from event group by student_id having count(*) <> max(seq)) x"
            )
            if at.number(holes):
                raise RuntimeError("a lane has a hole")
    return {
        "node_us": node_s / payments * 1e6,
        "postgres_us": postgres_s / payments * 1e6,
        "yardstick_us": statistics.mean(each.value for each in machine_us),
        "per_s": payments / (done_s - start_s),
        "deliveries_per_s": len(sent) / (done_s - start_s),
    }


def _work(at: Worker, sent: Sequence[tuple[str, bytes]], payments: int) -> float:
    """Feeds and waits until everything is out; when that was."""
    # The trainers count their allocations: to count a million purchases again and again cost more than the payments.
    goal = at.number(ALLOCATED) + payments
    feed(at.services.kafka_bootstrap, list(sent))
    at.wait_for(ALLOCATED, goal)
    return at.wait_for("select count(*) from outbox", 0)


def _until_quiet(at: Worker) -> None:
    """Until PostgreSQL has next to nothing to do for some seconds: the first looks are over, idle students are gone."""
    deadline_s, calm = time.monotonic() + QUIET_WITHIN_S, 0
    while calm < QUIET_LOOKS:
        before_s = at.postgres_s()
        time.sleep(QUIET_LOOK_S)
        calm = calm + 1 if at.postgres_s() - before_s < QUIET_SHARE * QUIET_LOOK_S else 0
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"PostgreSQL did not come to rest within {QUIET_WITHIN_S:.0f} s")


def in_child(work: Callable[[int], Point], count: int) -> Point:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, count).result()


class Sweep:
    """One question: the values of one quantity, and what each costs.

    Args:
        x: the quantity, with its unit.
        scale: how it is spread on a plot.
        points: value to the measurement of it.
    """

    def __init__(self, name: str, x: str, scale: Scale, points: dict[float, Callable[[], Point]]) -> None:
        self.name, self.x, self.scale, self.points = name, x, scale, points


def sweeps(*, quick: bool) -> list[Sweep]:
    """All of them."""
    payments = 2_000 if quick else 5_000
    many = (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    old = (0, 10_000, 100_000) if quick else (0, 10_000, 100_000, 1_000_000)
    return [
        Sweep(
            "students",
            "students",
            Scale.LOG,
            {n: lambda n=n: measure(payments, students=n) for n in many},  # type: ignore[misc]
        ),
        Sweep(
            "purchases",
            "old purchases, one a student",
            Scale.LOG,
            {
                # until most pages have been written whole into the log once, which is a checkpoint's cost
                n: lambda n=n: measure(payments, students=max(n, 10_000), purchases=n, warm=8_000, once=True)  # type: ignore[misc]
                for n in old
            },
        ),
        Sweep(
            "duplicates",
            "share of duplicates",
            Scale.LINEAR,
            {d: lambda d=d: measure(payments, duplicates=d) for d in (0.0, 0.5, 0.8, 0.95)},  # type: ignore[misc]
        ),
        Sweep(
            "hot",
            "share of the payments that are one student's",
            Scale.LINEAR,
            {h: lambda h=h: measure(min(payments, 3_000), hot=h) for h in (0.0, 0.1, 0.5, 1.0)},  # type: ignore[misc]
        ),
        Sweep(
            "memory",
            "active students",
            Scale.LOG,
            {n: lambda n=n: in_child(memory_of, n) for n in (10_000, 100_000)},  # type: ignore[misc]
        ),
    ]


def law(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares of ``cost = a + b * log10(x)``; a and b. Points at 0 count as 1."""
    xs = [math.log10(max(1.0, x)) for x, _ in points]
    ys = [y for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
    return mean_y - slope * mean_x, slope


def rows_of(sweep: Sweep, found: dict[float, list[Point]]) -> list[Row]:
    """The points as figures; the first of each sweep is the baseline of the others."""
    made: list[Row] = []
    kinds = (
        {"mib": "MiB"} if sweep.name == "memory" else {"node_us": "us node", "postgres_us": "us PostgreSQL"}
    )
    for kind, unit in kinds.items():
        first: Row | None = None
        for x, runs in sorted(found.items()):
            name = f"{sweep.name} {x:,g}, {unit}"
            row = figure(GROUP, name, [run[kind] for run in runs], unit, first, sweep=sweep.name, x=x)
            first = first or row
            made.append(row)
        if sweep.scale is Scale.LOG and sweep.name != "memory" and len(found) > 1:
            _, slope = law([(row["x"], row["value"]) for row in made if row["unit"] == unit])
            made.append(figure(GROUP, f"{sweep.name}: more for ten times as many, {unit}", [slope], unit))
    made += _by_yardstick(sweep, found)
    for x, runs in sorted(found.items()):
        if "per_s" in runs[0]:
            rates = [run["per_s"] for run in runs]
            name = f"{sweep.name} {x:,g}, payments/s"
            made.append(figure(GROUP, name, rates, "payments/s", sweep=sweep.name, x=x))
    return made


def _by_yardstick(sweep: Sweep, found: dict[float, list[Point]]) -> list[Row]:
    """Node and PostgreSQL together as multiples of a fixed piece of work that ran beside them, see `bench.yardstick`.

    Points are minutes apart, and a shared machine may take twice as long by then.
    """
    made: list[Row] = []
    for x, runs in sorted(found.items()):
        if all("yardstick_us" in run for run in runs):
            costs = [(run["node_us"] + run["postgres_us"]) / run["yardstick_us"] for run in runs]
            name = f"{sweep.name} {x:,g}, node and PostgreSQL by the machine's speed"
            made.append(figure(GROUP, name, costs, "pieces", made[0] if made else None))
    return made


def plots(rows: Sequence[Row]) -> dict[str, str]:
    """One plot for each sweep, with the fitted law where the quantity grows tenfold."""
    drawn = {}
    for sweep in sweeps(quick=False):
        if sweep.name == "memory":
            continue
        curves = []
        for unit in ("us node", "us PostgreSQL"):
            points = [
                (max(1.0, row["x"]) if sweep.scale is Scale.LOG else row["x"], row["value"])
                for row in rows
                if row.get("sweep") == sweep.name and row["unit"] == unit
            ]
            curves.append(Series(unit.removeprefix("us "), points, dots=True))
            if sweep.scale is Scale.LOG and len(points) > 1:
                start, slope = law(points)
                fitted = [(x, start + slope * math.log10(x)) for x, _ in points]
                curves.append(Series(f"{start:.0f} + {slope:.1f} log10", fitted, dashed=True))
        if any(curve.points for curve in curves):
            title = f"CPU a payment by {sweep.x}"
            drawn[f"sweeps-{sweep.name}.svg"] = lines(
                title, curves, x=sweep.x, y="microseconds a payment", x_scale=sweep.scale
            )
    return drawn


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="without the millions, one run in place of three"
    )
    parser.add_argument("--runs", type=int, help="of each point; 3, or 1 with --quick")
    parser.add_argument("--only", action="append", help="students, purchases, duplicates, hot or memory")
    parser.add_argument("--fresh", action="store_true", help="forget the points of earlier runs")
    options = parser.parse_args(arguments)
    runs = options.runs or (1 if options.quick else 3)
    kept: dict[str, list[Point]] = {}
    if POINTS.exists() and not options.fresh:
        kept = json.loads(POINTS.read_text())
    rows: list[Row] = []
    for sweep in sweeps(quick=options.quick):
        if options.only and sweep.name not in options.only:
            continue
        found: dict[float, list[Point]] = {}
        for run in range(runs):
            for x, measured in sweep.points.items():
                key = f"{'quick ' if options.quick else ''}{sweep.name} {x:g}"
                if len(kept.setdefault(key, [])) <= run:
                    kept[key].append(measured())
                    POINTS.parent.mkdir(exist_ok=True)
                    POINTS.write_text(json.dumps(kept, indent=1))
                found[x] = kept[key][: run + 1]
                _tell(
                    f"  {sweep.name} {x:,g}: " + ", ".join(f"{k} {v:,.0f}" for k, v in found[x][-1].items())
                )
        rows += rows_of(sweep, found)
    return rows


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    from bench.figures import table

    made = main()
    for file, drawing in plots(made).items():
        POINTS.with_name(file).write_text(drawing)
    print(table(made))
