"""A probe that runs in a process of its own while something is measured, so that its interpreter is nobody else's.

A probe is a module that ends in ``probe(piece, ...)`` when it is run: it measures the same thing again and again until
its input ends, and prints what it found as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Measured(NamedTuple):
    """One piece: when it began, on the performance counter, which is the same in every process; and what it came to."""

    at_s: float
    value: float


@contextmanager
def running(module: str, found: list[Measured]) -> Iterator[None]:
    """Run a probe beside what is done inside; what it measured goes to ``found`` when that is over."""
    words = [sys.executable, "-m", module]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            said, _ = process.communicate()
    found += [Measured(*each) for each in json.loads(said)]


def probe(piece: Callable[[], float], *, pause_s: float, fewest: int = 1) -> None:
    """Measure pieces, pausing between them, until the input ends, but so many at least; then say it all."""
    over = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    found: list[tuple[float, float]] = []
    while len(found) < fewest or not over.wait(pause_s):
        at_s = time.perf_counter()
        found.append((at_s, piece()))
    print(json.dumps(found))
