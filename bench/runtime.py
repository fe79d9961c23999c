"""Group `runtime`: the actor runtime beside `pykka.ThreadingActor`, in one run on one machine.

    python -m bench.runtime [--quick]

Every figure of ours is with full vitals on: exact counters, turn and wait histograms, time stamps, accounts. Each actor
counts its messages and the sum must be exact, so a lost or doubled message fails the bench.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import pykka

from supervision import Actor, ChildSpec, Collector, Router, System

Row = dict[str, Any]
GROUP = "runtime"
WAIT_S = 120.0


class Gate:
    """Opens when a number of actors have counted to the end."""

    def __init__(self, parties: int) -> None:
        self._left = parties
        self._lock = threading.Lock()
        self.opened = threading.Event()

    def arrive(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.opened.set()


class Threaded(pykka.ThreadingActor):
    """Counts down to zero, then says so."""

    def __init__(self, goal: int, gate: Gate) -> None:
        super().__init__()
        self.left = goal
        self.gate = gate

    def on_receive(self, message: Any) -> Any:
        self.left -= 1
        if not self.left:
            self.gate.arrive()
        return message


class Ours(Actor):
    """The same on our runtime."""

    def __init__(self, goal: int, gate: Gate) -> None:
        super().__init__()
        self.left = goal
        self.gate = gate

    def on_receive(self, message: Any) -> Any:
        self.left -= 1
        if not self.left:
            self.gate.arrive()
        return message


@contextmanager
def ours(count: int, goal: int, gate: Gate) -> Iterator[tuple[System, list[Any]]]:
    """`count` live actors behind a router, and their refs."""
    system = System("bench")
    router = Router(lambda _: Ours(goal + 1, gate), idle_s=1e6, active_max=10**9)
    system.start_child(None, router.spec())
    keys = [str(number) for number in range(count)]
    for key in keys:
        router.tell(key, 0)
    refs: list[Any] = [router.ref(key) for key in keys]
    refs[-1].ask(0, timeout=WAIT_S)
    refs[-1].cell.behaviour.left += 1
    settle(refs)
    try:
        yield system, refs
    finally:
        system.stop(WAIT_S)


def settle(refs: list[Any]) -> None:
    """Wait until every mailbox is empty."""
    for ref in refs:
        while ref.cell.queue or ref.cell.scheduled:
            threading.Event().wait(0.001)


def spray(refs: list[Any], rounds: int, gate: Gate) -> float:
    """Messages per second through `refs`, one each per round, from the first tell to the last handled."""
    tells = [ref.tell for ref in refs]
    began = time.perf_counter()
    for _ in range(rounds):
        for tell in tells:
            tell(1)
    if not gate.opened.wait(WAIT_S):
        raise RuntimeError("messages were lost")
    return len(refs) * rounds / (time.perf_counter() - began)


def messages_ours(count: int, rounds: int) -> float:
    gate = Gate(count)
    with ours(count, rounds, gate) as (system, refs):
        rate = spray(refs, rounds, gate)
        settle(refs)
        account = system.account()
        if account.error:
            raise RuntimeError(f"accounts do not balance: {account}")
        return rate


def messages_threading(count: int, rounds: int) -> float:
    gate = Gate(count)
    refs = [Threaded.start(rounds, gate) for _ in range(count)]
    try:
        return spray(refs, rounds, gate)
    finally:
        stop_threaded(refs)


def stop_threaded(refs: list[Any]) -> None:
    for future in [ref.stop(block=False) for ref in refs]:
        future.get(timeout=WAIT_S)


def best(measure: Callable[[], float], repeats: int) -> float:
    """The median of some repeats: this is a shared machine, and neither luck nor a neighbour should decide."""
    return statistics.median(measure() for _ in range(repeats))


def starts_ours(count: int) -> float:
    gate = Gate(count)
    system = System("bench")
    router = Router(lambda _: Ours(1, gate), idle_s=1e6, active_max=10**9)
    system.start_child(None, router.spec())
    began = time.perf_counter()
    for number in range(count):
        router.tell(str(number), 1)
    gate.opened.wait(WAIT_S)
    rate = count / (time.perf_counter() - began)
    system.stop(WAIT_S)
    return rate


def starts_threading(count: int) -> float:
    gate = Gate(count)
    began = time.perf_counter()
    refs = [Threaded.start(1, gate) for _ in range(count)]
    for ref in refs:
        ref.tell(1)
    gate.opened.wait(WAIT_S)
    rate = count / (time.perf_counter() - began)
    stop_threaded(refs)
    return rate


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - one line of a pseudo file
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_child(work: Callable[[int], dict[str, float]], count: int) -> dict[str, float]:
    """Run `work(count)` in a process of its own: memory that this one has freed must not hide what actors cost."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, count).result()


def memory_ours(count: int) -> dict[str, float]:
    """Bytes per idle actor that has handled a message, and what a crowd of them costs."""
    gate = Gate(count)
    gc.disable()
    before = resident_bytes()
    with ours(count, 1, gate) as (system, refs):
        each = (resident_bytes() - before - sys.getsizeof(refs)) / count
        sample = refs[:: max(1, count // 5000)]
        live = Gate(len(sample))
        for ref in sample:
            ref.cell.behaviour.left, ref.cell.behaviour.gate = 100, live
        gc.collect()
        gc.freeze()
        rate = spray(sample, 100, live)
        began = time.perf_counter()
        system.snapshot()
        snapshot_s = time.perf_counter() - began
        began = time.perf_counter()
        system.top("oldest", 20)
        top_s = time.perf_counter() - began
        return {"bytes": each, "rate": rate, "snapshot_s": snapshot_s, "top_s": top_s}


def memory_threading(count: int) -> dict[str, float]:
    gate = Gate(count)
    before = resident_bytes()
    refs = [Threaded.start(1, gate) for _ in range(count)]
    for ref in refs:
        ref.tell(1)
    gate.opened.wait(WAIT_S)
    each = (resident_bytes() - before) / count
    stop_threaded(refs)
    return {"bytes": each}


def asks(ref: Any, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        ref.ask(1)
    return count / (time.perf_counter() - began)


def neighbour_wait_ms(flood_s: float) -> tuple[float, float]:
    """(p99, max) milliseconds that a quiet actor's messages wait while another one is flooded, both on one thread."""
    waits: list[float] = []
    system = System("bench")

    class Quiet(Actor):
        def on_receive(self, message: float) -> None:
            waits.append(time.perf_counter() - message)

    class Flooded(Actor):
        def on_receive(self, message: Any) -> None:
            sum(range(50))

    quiet = system.start_child(None, ChildSpec("quiet", Quiet))
    flooded = system.start_child(None, ChildSpec("flooded", Flooded, drain=False))
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            for _ in range(1000):
                flooded.tell(1)
            if flooded.cell.depth > 200_000:
                over.wait(0.01)

    thread = threading.Thread(target=flood)
    thread.start()
    end_s = time.perf_counter() + flood_s
    while time.perf_counter() < end_s:
        quiet.tell(time.perf_counter())
        over.wait(0.005)
    over.set()
    thread.join()
    quiet.ask(time.perf_counter(), timeout=WAIT_S)
    system.stop(WAIT_S)
    waits.sort()
    return waits[int(len(waits) * 0.99)] * 1000, waits[-1] * 1000


def collector_pauses(count: int) -> dict[str, float]:
    """Milliseconds that a full collection takes with `count` live cells: plain, and after the runtime's `tend`."""
    gate = Gate(count)
    with ours(count, 1, gate):
        began = time.perf_counter()
        gc.collect()
        plain_s = time.perf_counter() - began
        collector = Collector()
        collector.tend()
        began = time.perf_counter()
        gc.collect()
        tended_s = time.perf_counter() - began
        collector.close()
        return {"plain_ms": plain_s * 1000, "tended_ms": tended_s * 1000}


def row(name: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> Row:
    return {
        "group": GROUP,
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": baseline,
        "ratio": None if ratio is None else round(ratio, 2),
    }


def pair(name: str, unit: str, mine: float, theirs: float, *, less_is_better: bool = False) -> list[Row]:
    """A figure of ThreadingActor and ours beside it."""
    base = f"{name} (ThreadingActor)"
    ratio = theirs / mine if less_is_better else mine / theirs
    return [row(base, theirs, unit), row(name, mine, unit, base, ratio)]


def measure(*, quick: bool = False) -> list[Row]:
    """All rows of the group."""
    rows: list[Row] = []
    repeats = 1 if quick else 3
    for count, rounds, threaded_rounds in ((1, 300_000, 50_000), (100, 3_000, 500), (5_000, 100, 10)):
        mine = best(lambda count=count, rounds=rounds: messages_ours(count, rounds), repeats)  # type: ignore[misc]
        theirs = best(
            lambda count=count, rounds=threaded_rounds: messages_threading(count, rounds),  # type: ignore[misc]
            repeats,
        )
        rows += pair(f"messages through {count:,} actors", "msg/s", mine, theirs)
    rows.append(
        row("messages through 100,000 actors", best(lambda: messages_ours(100_000, 5), repeats), "msg/s")
    )
    rows += pair("actors started", "1/s", starts_ours(50_000), starts_threading(3_000))
    small = in_child(memory_ours, 100_000)
    rows += pair(
        "memory per idle actor",
        "bytes",
        small["bytes"],
        in_child(memory_threading, 3_000)["bytes"],
        less_is_better=True,
    )
    rows.append(row("snapshot at 100,000 actors", small["snapshot_s"] * 1000, "ms"))
    rows.append(row("top list at 100,000 actors", small["top_s"] * 1000, "ms"))
    if not quick:
        crowd = in_child(memory_ours, 1_000_000)
        rows.append(row("memory per idle actor at 1,000,000", crowd["bytes"], "bytes"))
        rows.append(row("messages through 5,000 of 1,000,000 actors", crowd["rate"], "msg/s"))
    system = System("bench")
    gate = Gate(1)
    ours_ref = system.start_child(None, ChildSpec("ask", lambda: Ours(-1, gate)))
    theirs_ref = Threaded.start(-1, gate)
    rows += pair("ask round trips", "1/s", asks(ours_ref, 20_000), asks(theirs_ref, 20_000))
    stop_threaded([theirs_ref])
    system.stop(WAIT_S)
    p99_ms, max_ms = neighbour_wait_ms(1.0 if quick else 5.0)
    rows.append(row("wait behind a flooding neighbour, p99", p99_ms, "ms"))
    rows.append(row("wait behind a flooding neighbour, max", max_ms, "ms"))
    pauses = in_child(collector_pauses, 100_000)
    rows.append(row("full collection at 100,000 actors", pauses["plain_ms"], "ms"))
    rows.append(row("full collection at 100,000 actors, tended", pauses["tended_ms"], "ms"))
    return rows


def show(rows: list[Row]) -> None:
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        ratio = f"{one['ratio']:8.2f} x" if one["ratio"] is not None else ""
        print(f"{one['name']:<{width}}  {one['value']:>14,.1f} {one['unit']:<6}{ratio}")


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and no million")
    options = parser.parse_args(arguments)
    logging.getLogger("supervision").setLevel(logging.ERROR)
    rows = measure(quick=options.quick)
    show(rows)
    return rows


if __name__ == "__main__":
    main()
