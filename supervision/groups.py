"""Virtual actors added up by group: a few lines where there are a hundred thousand actors.

Sums of trouble are exact, because only noticeable actors have any. How many are active in each group is counted while
somebody looks and never faster than its budget allows: each actor is asked for its group once, in steps, and until all
have been asked a group's number is the share of those that have been (`about` says so).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from supervision.cell import Cell
from supervision.roster import Roster, VirtualCell
from supervision.snapshot import state_of

STEP_S: Final = 0.01
"""Processor time of one look's step through actors that have not been asked yet."""
PIECE: Final = 256
SHARE_MAX: Final = 0.004
"""Of one core, for counting again what is known."""
COUNT_EVERY_S: Final = 2.0
ABOUT_SHARE: Final = 0.01
"""As many new actors, beside those whose group is known, still make an exact number."""
WORSE: Final = ("failed", "backing_off", "suspended", "halted")


class Groups:
    """Safe from any thread.

    Args:
        now: monotonic seconds.
        spent: processor seconds of the calling thread.
    """

    def __init__(
        self,
        roster: Roster,
        now: Callable[[], float],
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._roster = roster
        self._group_of = roster.group_of or (lambda _: "")
        self._now = now
        self._spent = spent
        self._lock = threading.Lock()
        self._waiting: Iterator[VirtualCell] | None = None
        self._counted: Counter[str] = Counter()
        self._unknown = 1
        self._next_s = float("-inf")

    def of(self, cell: VirtualCell) -> str:
        """The group of one actor."""
        if cell.group is None:
            try:
                cell.group = self._group_of(cell.name)
            except Exception as error:  # noqa: BLE001 - a key that the owner's rule cannot read must not hide the others
                cell.group = f"unknown ({type(error).__name__})"
        return cell.group

    def look(self, noticeable: Sequence[VirtualCell]) -> list[dict[str, Any]]:
        """Each group by name: `name`, `active`, `about`, and of its `noticeable` actors the sums and the worst state.

        Depth counts messages, `oldest_s` is an age in seconds.
        """
        with self._lock:
            self._step()
            counted = Counter(self._counted)
            known = counted.total()
            about = self._unknown > ABOUT_SHARE * known
        active = len(self._roster.active)
        found = {
            name: _blank(name, round(times * active / known), about=about) for name, times in counted.items()
        }
        for cell in noticeable:
            name = self.of(cell)
            _add(found.setdefault(name, _blank(name, 0, about=True)), cell)
        return sorted(found.values(), key=lambda group: _natural(group["name"]))

    def _step(self) -> None:
        """Ask some more actors, and count when it is time to."""
        began_s = self._spent()
        if self._waiting is None and self._unknown:
            self._waiting = iter([cell for cell in self._roster.cells() if cell.group is None])
        while self._waiting is not None and self._spent() - began_s < STEP_S:
            piece = list(islice(self._waiting, PIECE))
            for cell in piece:
                self.of(cell)
            if len(piece) < PIECE:
                self._waiting = None
                self._next_s = float("-inf")
        if self._now() >= self._next_s:
            began_s = self._spent()
            counted = Counter([cell.group for cell in self._roster.cells()])
            self._unknown = counted.pop(None, 0)
            self._counted = Counter({name: times for name, times in counted.items() if name is not None})
            cost_s = self._spent() - began_s
            self._next_s = self._now() + max(COUNT_EVERY_S, cost_s / SHARE_MAX)


def _blank(name: str, active: int, *, about: bool) -> dict[str, Any]:
    return {
        "name": name,
        "active": active,
        "about": about,
        "noticeable": 0,
        "depth": 0,
        "oldest_s": 0.0,
        "restarts": 0,
        "state": "running",
    }


def _add(group: dict[str, Any], cell: Cell) -> None:
    state = state_of(cell)
    group["noticeable"] += 1
    group["depth"] += cell.depth
    group["oldest_s"] = max(group["oldest_s"], round(cell.oldest_s(), 6))
    group["restarts"] += cell.restarts
    if state in WORSE and (group["state"] not in WORSE or WORSE.index(state) < WORSE.index(group["state"])):
        group["state"] = state


def _natural(name: str) -> tuple[str, int, str]:
    """Group 10 comes after group 9."""
    words, _, number = name.rpartition(" ")
    return (words, int(number), "") if number.isdigit() else (name, -1, "")
