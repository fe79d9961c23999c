"""Group `stages`: where each microsecond of a payment goes, by thread of the node, role and function of PostgreSQL.

    python -m bench stages [--quick]

The budget table of ``bench/README.md`` is filled from here. These are CPU clocks of the kernel, so they hold on a busy
machine too, where a wall clock does not. Where `py-spy` is installed beside Python, each thread's clock is also divided
among our modules by its samples.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import uvloop

from bench.clocks import PostgresClock, process_s, thread_s
from bench.end_to_end import feed
from bench.figures import Row, figure
from bench.named_node import NAMES
from bench.shop import Shop
from bench.worker import BENCH, WEBHOOK_SECRET, Worker, ground, node_on
from kcactors.load.feeder import Feeder
from kcactors.load.plan import Shape, Via, deliveries, payments

GROUP = "stages"
KNOWS_QUICK = True
UNIT = "us/payment"
LEAST_US = 1.0
"""What takes less is left out of the table."""

ROOMS = re.compile(r"(?:^|[(/])((?:supervision|actors|gateway|kcactors)/[\w/]+)\.py")
NODE_ID = re.compile(r"-[^-\s]+:\d+")
SAMPLES_PER_S = 200


class Clocks:
    """All clocks of one worker, read at one moment and subtracted from a later one."""

    def __init__(self, at: Worker, database: psycopg.Connection[tuple[object, ...]], names: Path) -> None:
        self._pid, self._names = at.node.pid, names
        self._postgres = PostgresClock(database)

    def read(self) -> dict[str, float]:
        """Seconds by stage. Threads of one name count together; so do connections of one role."""
        found: defaultdict[str, float] = defaultdict(float)
        told = {int(number): name for number, name in json.loads(self._names.read_text()).items()}
        for number, (kernel, seconds) in thread_s(self._pid).items():
            found[f"node: {NODE_ID.sub('', told.get(number, kernel))}"] += seconds
        for role, seconds in self._postgres.by_role_s().items():
            found[f"PostgreSQL: {role}"] += seconds
        for name, (_, _, own_ms) in self._postgres.functions_ms().items():
            found[f"PostgreSQL, wall clock of function: {name}"] = own_ms / 1000
        found["the node"] = process_s(self._pid)
        found["PostgreSQL"] = self._postgres.total_s()
        return dict(found)


def one_run(via: Via, count: int, *, sampled: bool) -> dict[str, float]:
    """Microseconds a payment, by stage."""
    shop = Shop()
    with tempfile.TemporaryDirectory() as folder, ground(shop) as services:
        names, stacks = Path(folder) / "threads.json", Path(folder) / "stacks.txt"
        with psycopg.connect(services.database_url, autocommit=True, application_name=BENCH) as database:
            name = str(database.info.dbname)
            database.execute(f'alter database "{name}" set track_functions = "pl"'.encode())
            settings = {NAMES: str(names), "KCACTORS_PROJECTIONS_SESSIONS": "false"}
            with node_on(services, "bench.named_node", **settings) as at:
                send(at, shop, via, count // 10, "warm")
                clocks = Clocks(at, database, names)
                at.wait_for("select count(*) from outbox", 0)
                before = clocks.read()
                with sampling(at.node.pid, stacks) if sampled else contextlib.nullcontext():
                    send(at, shop, via, count, "p")
                    at.wait_for("select count(*) from outbox", 0)
                after = clocks.read()
        used = {key: (value - before.get(key, 0.0)) / count * 1e6 for key, value in after.items()}
        return used | divided(used, stacks)


def send(at: Worker, shop: Shop, via: Via, count: int, mark: str) -> None:
    """So many payments, each twice, and the wait until each has its trainer."""
    goal = at.number("select count(*) from allocation where status = 'allocated'") + count
    if via is Via.KAFKA:
        feed(at.services.kafka_bootstrap, shop.deliveries(count, mark))
    else:
        uvloop.run(by_webhook(at, shop, count))
    at.wait_for("select count(*) from allocation where status = 'allocated'", goal)


async def by_webhook(at: Worker, shop: Shop, count: int) -> None:
    shape = Shape(run=f"stages-{uuid.uuid4().hex[:8]}", payments=count, students=2_000, webhook_share=1.0)
    courses = [uuid.UUID(course) for course in shop.courses]
    feeder = Feeder(topic=None, nodes=[at.node.url], secret=WEBHOOK_SECRET)
    try:
        await feeder.feed(deliveries(shape, payments(shape, courses, datetime.now(UTC)), count))
    finally:
        await feeder.close()


@contextlib.contextmanager
def sampling(pid: int, stacks: Path) -> Iterator[None]:
    """Let py-spy look on, if it is there."""
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        yield
        return
    words = [str(spy), "record", "--pid", str(pid), "--rate", str(SAMPLES_PER_S), "--threads", "--gil"]
    words += ["--nonblocking", "--format", "raw", "--output", str(stacks), "--duration", "600"]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        yield
    finally:
        process.send_signal(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def divided(used: dict[str, float], stacks: Path) -> dict[str, float]:
    """Each thread's clock divided among our modules, by where its samples were innermost in our code."""
    if not stacks.exists():
        return {}
    counted: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in stacks.read_text().splitlines():
        stack, _, times = line.rpartition(" ")
        thread = re.search(r'thread \(\S+\): "?([^";]+)"?;|^([^;]+) \(0x', stack)
        ours = ROOMS.findall(stack)
        name = next((part for part in thread.groups() if part), "") if thread else ""
        counted[f"node: {NODE_ID.sub('', name.strip())}"][
            ours[-1].replace("/", ".") if ours else "libraries"
        ] += int(times)
    found = {}
    for thread_name, modules in counted.items():
        total = sum(modules.values())
        for module, samples in modules.items():
            if thread_name in used:
                found[f"{thread_name}, in {module}"] = used[thread_name] * samples / total
    return found


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run in place of three")
    runs = 1 if parser.parse_args(arguments).quick else 3
    rows: list[Row] = []
    for via, count in ((Via.KAFKA, 10_000), (Via.WEBHOOK, 3_000)):
        found = [one_run(via, count, sampled=False) for _ in range(runs)]
        found.append(one_run(via, count, sampled=True))  # for the division only: looking on costs something
        names = sorted(set().union(*found), key=lambda name: -found[0].get(name, 0.0))
        for name in names:
            values = [run[name] for run in found[:runs] if name in run] or [found[-1].get(name, 0.0)]
            row = figure(GROUP, f"{via}, {name}", values, UNIT)
            if row["value"] >= LEAST_US:
                rows.append(row)
    worth = {row["name"]: row["value"] for row in rows}
    return sorted(rows, key=lambda row: _place(row["name"], worth))


def _place(name: str, worth: dict[str, float]) -> tuple[object, ...]:
    """The sums first, then threads with their modules beneath them, roles, functions; the dearest first."""
    via, _, rest = name.partition(", ")
    whole = name.split(", in ", maxsplit=1)[0]
    section = next(
        (n for n, word in enumerate(("node: ", "PostgreSQL: ", "wall clock"), 1) if word in rest), 0
    )
    return (via, section, -worth.get(whole, 0.0), whole, whole != name, -worth[name])
