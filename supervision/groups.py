"""Virtual actors added up by group: a few lines where there are a hundred thousand actors.

Sums of trouble are exact, because only noticeable actors have any. How many are active in each group is counted while
somebody looks, over all actors where they are few and over every so manieth where they are many (`about` says so), a
bounded step at each look: so it costs the same with a thousand actors and with a million.
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

SAMPLE_MAX: Final = 4096
"""Actors that are asked for one count; of a dozen groups the numbers are then right within some percent."""
STEP_S: Final = 0.002
"""Processor time of one look's step; the first look's is five times it."""
FIRST_STEPS: Final = 5
PIECE: Final = 256
ALL_EVERY_S: Final = 2.0
SAMPLE_EVERY_S: Final = 30.0
WORSE: Final = ("failed", "backing_off", "suspended", "halted")


class Groups:
    """Safe from any thread.

    Args:
        now: monotonic seconds.
        spent: processor seconds of the calling thread.
        sample_max: how many actors are asked for one count.
    """

    def __init__(
        self,
        roster: Roster,
        now: Callable[[], float],
        spent: Callable[[], float] = time.thread_time,
        sample_max: int = SAMPLE_MAX,
    ) -> None:
        self._roster = roster
        self._group_of = roster.group_of or (lambda _: "")
        self._now = now
        self._spent = spent
        self._sample_max = sample_max
        self._lock = threading.Lock()
        self._waiting: Iterator[VirtualCell] | None = None
        self._fresh: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._about = True
        self._draws = 0
        self._stride = 1
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
            counted = Counter(self._counted or self._fresh)
            about = self._about
        known = counted.total()
        active = len(self._roster.active)
        found = {
            name: _blank(name, round(times * active / known), about=about) for name, times in counted.items()
        }
        for cell in noticeable:
            name = self.of(cell)
            _add(found.setdefault(name, _blank(name, 0, about=True)), cell)
        return sorted(found.values(), key=lambda group: _natural(group["name"]))

    def _step(self) -> None:
        """Draw actors when it is time to, and ask some of them."""
        began_s = self._spent()
        if self._waiting is None and self._now() >= self._next_s:
            self._draw()
        budget_s = STEP_S if self._counted else FIRST_STEPS * STEP_S
        while self._waiting is not None and self._spent() - began_s < budget_s:
            piece = list(islice(self._waiting, PIECE))
            self._fresh.update([self.of(cell) for cell in piece])
            if len(piece) < PIECE:
                self._waiting = None
                self._counted, self._fresh = self._fresh, Counter()
                self._about = self._stride > 1

    def _draw(self) -> None:
        cells = self._roster.cells()
        self._stride = max(1, -(-len(cells) // self._sample_max))
        # Another start each time, so that in the end everybody is asked.
        self._waiting = iter(cells[self._draws % self._stride :: self._stride])
        self._draws += 1
        self._next_s = self._now() + (ALL_EVERY_S if self._stride == 1 else SAMPLE_EVERY_S)


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
