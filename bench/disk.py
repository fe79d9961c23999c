"""How long the disk takes to keep 8 KiB: whatever commits waits for it, and a shared one has stalls of its own.

Run as a program it measures until its input ends, then says the seconds as JSON.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bench.beside import Measured, probe, running

PAGE: Final = bytes(8192)
FILE_BYTES: Final = 16 << 20
"""As large as one of PostgreSQL's log files, and laid out beforehand as those are."""
PAUSE_S: Final = 0.005
PAUSE_BESIDE_S: Final = 0.02
"""While others are measured: every stall that is longer is found, and told as shorter by so much at most. It adds fifty
writes a second to theirs."""
STOOD_MOST_S: Final = 0.03
"""What a run may have had of it and still tell of us: a new file of PostgreSQL's log alone takes 20 ms here."""

WITHOUT_STALLS: Final = ", disk without stalls"
"""In the name of what is summed up without those that met one."""


def beside(took_s: list[Measured]) -> AbstractContextManager[None]:
    """Measure the disk beside what is done inside; what each write took goes to ``took_s`` when it is over."""
    return running("bench.disk", took_s)


def stalls(took_s: Sequence[Measured]) -> list[Measured]:
    """The writes during which it stood still."""
    return [each for each in took_s if each.value > STOOD_MOST_S]


def synced(seconds: float) -> list[float]:
    """Seconds that each write and ``fdatasync`` took, where throwaway servers keep their data."""
    took = []
    with _writing() as write:
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            took.append(write())
            time.sleep(PAUSE_S)
    return took


@contextmanager
def _writing() -> Iterator[Callable[[], float]]:
    """Writes and syncs 8 KiB each time that it is called, and says how long it took."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(FILE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        at = 0

        def write() -> float:
            nonlocal at
            began_s = time.perf_counter()
            os.pwrite(file.fileno(), PAGE, at % FILE_BYTES)
            os.fdatasync(file.fileno())
            at += len(PAGE)
            return time.perf_counter() - began_s

        yield write


def main() -> None:
    """Write and pause until the input ends."""
    with _writing() as write:
        probe(write, pause_s=PAUSE_BESIDE_S)


if __name__ == "__main__":
    main()
