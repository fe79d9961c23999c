"""Group `dashboard`: what looking costs, in pairs: no dashboard, one that nobody opens, one that is watched.

    python -m bench.dashboard [--quick]

A hundred thousand actors are alive and five thousand of them get messages as fast as one thread can tell them. "Closed"
is what every node carries: the routes, a scrape of the metrics and the census behind the node's reports. "Open" adds a
browser's live tree page and a JSON stream, read by another process. Kinds take turns, so that drift hits all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette

from supervision import Actor, ChildSpec, Router, System
from supervision.dashboard import Dashboard, Deed, Deps, Operator

Row = dict[str, Any]
GROUP = "dashboard"
TOKEN = "bench"  # noqa: S105 - any will do here
ACTIVE = 5_000
SCRAPE_S = 5.0
REPORT_S = 2.0
WAIT_S = 120.0
WATCHER = """
import http.client, sys
port, path, header, value = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.request("GET", path, headers={header: value})
answer = connection.getresponse()
assert answer.status == 200, answer.status
while answer.read1(65536):
    pass
"""


class Counter(Actor):
    """Counts; one number for all, since one thread runs them."""

    total = 0

    def on_receive(self, message: Any) -> None:
        Counter.total += 1


class Office:
    """The dashboard of a system on a port, with its scraper."""

    def __init__(self, system: System) -> None:
        async def verify(_: str) -> Operator:
            return Operator("bench", time.time() + 3600)

        async def audit(_: Deed) -> None:
            return

        deps = Deps(system=system, node="bench", verify=verify, audit=audit, session_key=b"bench")
        self.dashboard = Dashboard(deps)
        self._registry = CollectorRegistry()
        self._registry.register(self.dashboard.collector("kcactors_"))
        app = Starlette(routes=[*self.dashboard.pages(), *self.dashboard.api()])
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        self._serving = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)
        self._ended = threading.Event()
        self._keeping = threading.Thread(target=self._keep, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def _keep(self) -> None:
        due_s = time.monotonic()
        while not self._ended.wait(REPORT_S):
            self.dashboard.census.count()
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + SCRAPE_S
                generate_latest(self._registry)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Nobody looks."""
        self._serving.start()
        self._keeping.start()
        while not self._server.started:
            self._ended.wait(0.01)
        try:
            yield
        finally:
            self._server.should_exit = self._server.force_exit = True
            self._ended.set()
            self._serving.join()
            self._keeping.join()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A page and a stream are open."""
        cookie = self._request("POST", "/supervision/session").getheader("set-cookie", "").split(";")[0]
        looks = [
            ("/supervision/live/tree", "cookie", cookie),
            ("/api/v1/supervision/stream", "authorization", f"Bearer {TOKEN}"),
        ]
        watchers = [
            subprocess.Popen([sys.executable, "-c", WATCHER, str(self.port), *look]) for look in looks
        ]
        while self.dashboard.viewers.taken < len(watchers):
            self._ended.wait(0.05)
        try:
            yield
        finally:
            for watcher in watchers:
                watcher.terminate()
                watcher.wait()

    def first_byte_s(self) -> float:
        """From asking for the tree page to its first byte."""
        cookie = self._request("POST", "/supervision/session").getheader("set-cookie", "").split(";")[0]
        begun_s = time.monotonic()
        answer = self._request("GET", "/supervision/tree", {"cookie": cookie})
        assert answer.status == http.client.OK
        return time.monotonic() - begun_s

    def _request(
        self, verb: str, path: str, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.request(verb, path, headers={"authorization": f"Bearer {TOKEN}", **(headers or {})})
        return connection.getresponse()


def handled_per_s(router: Router, seconds: float) -> float:
    """Messages for each second of this process's processor time, the dashboard's own included.

    Tells for so long and waits until all of it is handled. Processor time, because on a busy machine the clock tells
    what others do; the loop sleeps while it waits, so what is spent is the work.
    """
    keys = [str(number) for number in range(ACTIVE)]
    before, told = Counter.total, 0
    begun_s, spent_s = time.monotonic(), time.process_time()
    while time.monotonic() - begun_s < seconds:
        for key in keys:
            router.tell(key, 1)
        told += len(keys)
        while Counter.total - before < told - 2 * ACTIVE:
            time.sleep(0.0005)
    while Counter.total - before < told:
        time.sleep(0.0005)
    return told / (time.process_time() - spent_s)


def measure(*, quick: bool = False) -> list[Row]:
    """The rows of the group."""
    actors, rounds, seconds = (20_000, 3, 2.0) if quick else (100_000, 7, 6.0)
    system = System("bench")
    router = Router(lambda _: Counter(), idle_s=3600.0, active_max=2 * actors)
    system.start_child(None, router.spec())
    system.start_child(None, ChildSpec("lone", Counter))
    for number in range(actors):
        router.tell(str(number), 1)
    while Counter.total < actors:
        time.sleep(0.01)
    rates: dict[str, list[float]] = {"none": [], "closed": [], "open": []}
    shares: list[float] = []
    first_bytes: list[float] = []
    handled_per_s(router, 1.0)
    for _ in range(rounds):
        rates["none"].append(handled_per_s(router, seconds))
        office = Office(system)
        with office.closed():
            rates["closed"].append(handled_per_s(router, seconds))
            with office.watched():
                rates["open"].append(handled_per_s(router, seconds))
            shares.append(office.dashboard.meter.share())
            first_bytes.append(office.first_byte_s())
    assert system.account().error == 0
    system.stop(WAIT_S)

    def row(
        name: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None
    ) -> Row:
        return {
            "group": GROUP,
            "name": name,
            "value": value,
            "unit": unit,
            "baseline": baseline,
            "ratio": ratio,
        }

    def pairs(kind: str) -> float:
        return statistics.median(ours / none for ours, none in zip(rates[kind], rates["none"], strict=True))

    return [
        row(f"messages, no dashboard, {actors:,} actors", statistics.median(rates["none"]), "msg/cpu-s"),
        row(
            "messages, dashboard closed",
            statistics.median(rates["closed"]),
            "msg/cpu-s",
            "no dashboard",
            pairs("closed"),
        ),
        row(
            "messages, dashboard open",
            statistics.median(rates["open"]),
            "msg/cpu-s",
            "no dashboard",
            pairs("open"),
        ),
        row("cost that the page itself shows", statistics.median(shares) * 100, "% of a core"),
        row("first byte of the tree page", statistics.median(first_bytes) * 1000, "ms"),
    ]


def main(arguments: list[str] | None = None) -> list[Row]:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer actors and rounds")
    options = parser.parse_args(arguments)
    logging.getLogger("supervision").setLevel(logging.ERROR)
    rows = measure(quick=options.quick)
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        ratio = f"{one['ratio']:8.3f} x" if one["ratio"] is not None else ""
        print(f"{one['name']:<{width}}  {one['value']:>14,.1f} {one['unit']:<12}{ratio}")
    return rows


if __name__ == "__main__":
    main()
