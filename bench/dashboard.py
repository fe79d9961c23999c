"""Group `dashboard`: what looking costs a node that works, in pairs.

    python -m bench.dashboard [--quick]

A whole node over embedded servers, a hundred thousand live student actors, and the load test's own feeder at a steady
pace. Blocks of three kinds take turns in one process, so that neither drift nor the luck of a process's memory counts:
"absent" suspends the reporter, by which a node counts and tells its figures (beside it a closed dashboard is routes,
which stand behind all others); "closed" has it; "open" adds a browser's live tree page with the students unfolded, and
a JSON stream. What is compared is the node's processor time for each delivery. At a steady pace that is harder to pass
than a share of throughput: the same cost is set against the part of a core that the node uses, not against all of it.

Two measures: `bench.pairs` judges the blocks; and the dashboard's own meter counts the processor time of each of its
steps, which knows no noise but not the sending of an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import jwt

from bench.pairs import paired
from bench.shop import Shop, row
from bench.worker import JWT_SECRET, WEBHOOK_SECRET, Worker, worker
from kcactors.load.feeder import Feeder
from kcactors.load.plan import Delivery, Shape, Via, deliveries, delivery, payment, payments, students

Row = dict[str, Any]
GROUP: Final = "dashboard"
PER_S: Final = 200.0
"""Deliveries a second while blocks are measured; every payment comes twice."""
KINDS: Final = ("absent", "closed", "open")
CLOSED_MAX, OPEN_MAX, FIRST_BYTE_MAX_MS = 1.01, 1.03, 300.0
SETTLE_S: Final = 0.5
LOOKS: Final = 20
OPENED: Final = quote("core/directory,core/directory#partition 0")
METER: Final = re.compile(rb"^kcactors_observe_cpu_seconds_total (\S+)", re.MULTILINE)
SERIES: Final = re.compile(rb"^([a-z_]+)(\{[^}]*\})? ", re.MULTILINE)
CLASS: Final = re.compile(rb'class="(\w+)"')
WATCHER: Final = """
import http.client, sys
port, path, header, value = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.request("GET", path, headers={header: value})
answer = connection.getresponse()
assert answer.status == 200, answer.status
while answer.read1(65536):
    pass
"""


class Visitor:
    """An operator at a node."""

    def __init__(self, node: Worker) -> None:
        self._port = node.node.port
        self._clock = (
            ~node.node.pid << 3
        ) | 2  # linux/posix-timers.h: the processor clock of another process
        claims = {"sub": "bench", "role": "operator", "exp": int(time.time()) + 86_400}
        self._token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        self._cookie = self._ask("POST", "/supervision/session").getheader("set-cookie", "").split(";")[0]

    def cpu_s(self) -> float:
        """Processor time of the node, all threads."""
        return time.clock_gettime(self._clock)

    def metrics(self) -> bytes:
        return self._ask("GET", "/metrics").read()

    def metered_s(self) -> float:
        """Processor time that the dashboard has counted as its own."""
        found = METER.search(self.metrics())
        assert found is not None
        return float(found[1])

    def report(self, wanted: bool) -> None:  # noqa: FBT001 - the one thing it sets
        """Have the reporter work, or not."""
        verb = "resume" if wanted else "suspend"
        answer = self._ask("POST", f"/api/v1/supervision/actors/reporter/{verb}")
        assert answer.status == http.client.OK, answer.read()

    def first_byte_ms(self) -> float:
        """From asking for the tree page to its first byte."""
        begun_s = time.perf_counter()
        answer = self._ask("GET", f"/supervision/tree?open={OPENED}", cookie=self._cookie)
        assert answer.status == http.client.OK
        return (time.perf_counter() - begun_s) * 1000

    def active(self) -> int:
        """Live student actors."""
        document = json.loads(self._ask("GET", "/api/v1/supervision").read())
        core = next(one for one in document["root"]["children"] if one["name"] == "core")
        return int(next(one for one in core["children"] if one["name"] == "directory")["active"])

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A page and a stream are open in another process."""
        looks = [
            (f"/supervision/live/tree?open={OPENED}", "cookie", self._cookie),
            ("/api/v1/supervision/stream", "authorization", f"Bearer {self._token}"),
        ]
        watchers = [
            subprocess.Popen([sys.executable, "-c", WATCHER, str(self._port), *look]) for look in looks
        ]
        try:
            yield
            assert all(watcher.poll() is None for watcher in watchers), "a watcher was turned away"
        finally:
            for watcher in watchers:
                watcher.terminate()
                watcher.wait()

    def _ask(self, verb: str, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        connection.request(verb, path, headers={"authorization": f"Bearer {self._token}", **headers})
        return connection.getresponse()


class Load:
    """The load test's feeder, told what to send from outside its loop."""

    def __init__(self, url: str, courses: Sequence[UUID], everybody: Sequence[UUID]) -> None:
        self._courses, self._everybody = courses, everybody
        self._feeder = Feeder(topic=None, nodes=[url], secret=WEBHOOK_SECRET)
        self._runner = asyncio.Runner()
        self._blocks = itertools.count()

    def wake_all(self) -> None:
        """One payment for every student, as fast as they are taken."""
        now = datetime.now(UTC)
        sent = [
            delivery(
                payment(f"wake-{n:07d}", student, self._courses[n % len(self._courses)], 10, now), Via.WEBHOOK
            )
            for n, student in enumerate(self._everybody)
        ]
        self._feed(sent, None)

    def block(self, seconds: float) -> int:
        """Payments and their duplicates at the pace, until the last answer; how many deliveries that were."""
        number = next(self._blocks)
        half = round(PER_S * seconds / 2)
        shape = Shape(run=f"block-{number}", payments=half, students=half, webhook_share=1.0, seed=number + 1)
        made = payments(shape, self._courses, datetime.now(UTC))
        chosen = random.Random(number).choices(self._everybody, k=half)
        ours = [
            payment(one.payment_id, student, one.course_id, one.tier, one.occurred_at)
            for one, student in zip(made, chosen, strict=True)
        ]
        sent = deliveries(shape, ours, half)
        self._feed(sent, PER_S)
        return len(sent)

    def _feed(self, sent: Sequence[Delivery], per_s: float | None) -> None:
        self._runner.run(self._feeder.feed(sent, rate_per_s=per_s))

    def close(self) -> None:
        self._runner.run(self._feeder.close())
        self._runner.close()


def measure(actors: int, rounds: int, seconds: float) -> list[Row]:
    """The rows of the group, from ``rounds`` blocks of each kind."""
    settings = {"KCACTORS_STUDENT_IDLE_S": "86400", "KCACTORS_STUDENT_ACTIVE_MAX": str(2 * actors)}
    shop = Shop()
    with worker(shop, **settings) as at:
        load = Load(at.node.url, [UUID(course) for course in shop.courses], students("bench", actors))
        visitor = Visitor(at)
        visitor.first_byte_ms()
        _blocks(load, visitor, 1, 1.0)
        few = SERIES.findall(visitor.metrics())
        load.wake_all()
        at.wait_for("select count(*) from outbox", 0)
        active = visitor.active()
        assert active >= actors, active
        load.block(2.0)
        found = _blocks(load, visitor, rounds, seconds)
        at.wait_for("select count(*) from outbox", 0)
        first_bytes = _first_bytes(load, visitor)
        grown = len(_grown(few, SERIES.findall(visitor.metrics())))
        load.close()
    cpu = {kind: [spent / count for spent, _, count in found[kind]] for kind in KINDS}
    own = {kind: sum(m for _, m, _ in found[kind]) / sum(s for s, _, _ in found[kind]) for kind in KINDS}
    absent = f"no dashboard, {active:,} students"
    rows = [row(GROUP, f"CPU a delivery, {absent}", statistics.median(cpu["absent"]) * 1000, "ms")]
    for kind, other, bound in (("closed", "absent", CLOSED_MAX), ("open", "closed", OPEN_MAX)):
        judged = paired(cpu[kind], cpu[other])
        rows.append(
            row(GROUP, f"CPU a delivery, {kind}", statistics.median(cpu[kind]) * 1000, "ms", other)
            | {"ratio": judged.ratio}
        )
        rows.append(row(GROUP, f"{kind} by {other}, 95 % from", judged.low, "x"))
        rows.append(row(GROUP, f"{kind} by {other}, 95 % to (asked {bound})", judged.high, "x"))
        rows.append(row(GROUP, f"{kind}, as it counts itself", own[kind] * 100, "% of node CPU"))
    rows.append(row(GROUP, "first byte of the tree page, median", statistics.median(first_bytes), "ms"))
    rows.append(row(GROUP, f"the slowest of {LOOKS} (asked {FIRST_BYTE_MAX_MS:.0f})", max(first_bytes), "ms"))
    rows.append(row(GROUP, f"more metric series with {active:,} students", grown, ""))
    return rows


def _blocks(
    load: Load, visitor: Visitor, rounds: int, seconds: float
) -> dict[str, list[tuple[float, float, int]]]:
    """Of each kind, for each block: processor seconds of the node, those of the dashboard, and deliveries."""
    found: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in KINDS}
    order = random.Random(1)
    for _ in range(rounds):
        for kind in order.sample(KINDS, len(KINDS)):
            with ExitStack() as stack:
                visitor.report(kind != "absent")
                if kind == "open":
                    stack.enter_context(visitor.watching())
                time.sleep(SETTLE_S)
                metered_s, spent_s = visitor.metered_s(), visitor.cpu_s()
                count = load.block(seconds)
                spent_s = visitor.cpu_s() - spent_s
                found[kind].append((spent_s, visitor.metered_s() - metered_s, count))
    visitor.report(True)  # noqa: FBT003
    return found


def _grown(few: list[tuple[bytes, bytes]], many: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Series that were not there before.

    Not those of actor classes and of whole metrics that had not worked yet, such as the auditor and its findings.
    """
    names = {name for name, _ in few}
    known = {found[1] for _, labels in few if (found := CLASS.search(labels)) is not None}
    return [
        (name, labels)
        for name, labels in set(many) - set(few)
        if name in names and ((found := CLASS.search(labels)) is None or found[1] in known)
    ]


def _first_bytes(load: Load, visitor: Visitor) -> list[float]:
    """Of the tree page, while the load runs; each look comes later than any sample is kept."""
    loading = threading.Thread(target=load.block, args=(LOOKS * 1.1,))
    loading.start()
    taken: list[float] = []
    for _ in range(LOOKS):
        taken.append(visitor.first_byte_ms())
        time.sleep(1.0)
    loading.join()
    return taken


def main(arguments: list[str] | None = None) -> list[Row]:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a try, not a measurement")
    parser.add_argument("--actors", type=int, help="live students")
    parser.add_argument("--rounds", type=int, help="blocks of each kind")
    options = parser.parse_args(arguments)
    actors, rounds, seconds = (1_000, 6, 1.0) if options.quick else (100_000, 70, 3.0)
    rows = measure(options.actors or actors, options.rounds or rounds, seconds)
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        ratio = f"{one['ratio']:8.4f} x {one['baseline']}" if one["ratio"] is not None else ""
        print(f"{one['name']:<{width}}  {one['value']:>12,.4f} {one['unit']:<14}{ratio}")
    return rows


if __name__ == "__main__":
    main()
