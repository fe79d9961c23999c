"""CPU clocks: of a process, of each of its threads, and of PostgreSQL by the role of each connection.

CPU time says what a payment costs even on a machine that others use at the same time; a wall clock does not.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import psycopg

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ROLES = (
    "select pid, coalesce(nullif(application_name, ''), backend_type) from pg_stat_activity"
    " where pid <> pg_backend_pid()"
)
FUNCTIONS = (
    "select funcname, calls, total_time, self_time from pg_stat_user_functions where schemaname = 'kc'"
)


def fields(path: Path) -> list[str]:
    """What the kernel says of a process or thread, from its state on."""
    return path.read_text().rsplit(")", 1)[1].split()


def process_s(pid: int) -> float:
    """CPU seconds that a process has used, all threads."""
    found = fields(Path(f"/proc/{pid}/stat"))
    return (int(found[11]) + int(found[12])) / TICKS_PER_S


def thread_s(pid: int) -> dict[int, tuple[str, float]]:
    """Kernel's name and CPU seconds of each thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            said = fields(task / "stat")
            name = (task / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(task.name)] = (name, (int(said[11]) + int(said[12])) / TICKS_PER_S)
    return found


def _process_s_if_there(pid: int) -> float:
    """As `process_s`; nothing of one that has just ended, whom its parent counts."""
    try:
        return process_s(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


class PostgresClock:
    """CPU of a whole cluster of PostgreSQL that runs on this machine."""

    def __init__(self, database: psycopg.Connection[tuple[object, ...]]) -> None:
        self._database = database
        row = database.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        self._postmaster = int(fields(Path(f"/proc/{row[0]}/stat"))[1])

    def total_s(self) -> float:
        """CPU seconds of every process, those that have ended included."""
        own = fields(Path(f"/proc/{self._postmaster}/stat"))
        ended = (int(own[13]) + int(own[14])) / TICKS_PER_S
        return process_s(self._postmaster) + ended + sum(map(_process_s_if_there, self._children()))

    def by_role_s(self) -> dict[str, float]:
        """CPU seconds of each role that is there now: the connections by name, the background by what it is."""
        found: defaultdict[str, float] = defaultdict(float)
        for pid, role in self._database.execute(ROLES).fetchall():
            try:
                found[str(role)] += process_s(int(str(pid)))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def functions_ms(self) -> dict[str, tuple[int, float, float]]:
        """Function to calls, milliseconds with and without what it calls; needs ``track_functions``."""
        rows = self._database.execute(FUNCTIONS).fetchall()
        return {
            str(name): (int(str(calls)), float(str(total)), float(str(own)))
            for name, calls, total, own in rows
        }

    def _children(self) -> list[int]:
        found = []
        for task in Path(f"/proc/{self._postmaster}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
        return found
