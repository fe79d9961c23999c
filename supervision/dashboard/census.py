"""A walk over all actors, shared by whoever needs it and never more often than its cost allows."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from supervision.account import Account
from supervision.snapshot import state_of
from supervision.system import System

EVERY_S: Final = 5.0
SHARE_MAX: Final = 0.002
"""Of one core: a walk that takes long is made seldom."""


@dataclass(frozen=True, slots=True)
class Count:
    """Where all messages are, and how many actors of each (class, state) there are. ``in_hand``: actors at work."""

    account: Account
    actors: Counter[tuple[str, str]]
    in_hand: int = 0

    @property
    def error(self) -> int:
        """Messages accepted and nowhere to be found; 0 at rest. A batch under way counts as one in hand."""
        return self.account.error - self.in_hand


class Census:
    """Counts the actors of one system. Safe from any thread; a walk takes some microseconds for each actor.

    Args:
        charge: measures a walk that nobody waits for.
    """

    def __init__(
        self, system: System, charge: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._system = system
        self._charge = charge
        self._lock = threading.Lock()
        self._beginning = threading.Lock()
        self._begun = False
        self._next_s = float("-inf")
        self._last = Count(Account(), Counter())

    def latest(self) -> Count:
        """The last count, without waiting; if that is old enough, a walk begins in a thread of its own."""
        with self._beginning:
            if self._system.now() >= self._next_s and not self._lock.locked() and not self._begun:
                self._begun = True
                threading.Thread(target=self._count_aside, name="census", daemon=True).start()
        return self._last

    def _count_aside(self) -> None:
        try:
            with self._charge():
                self.count()
        finally:
            self._begun = False

    def count(self) -> Count:
        """The last count, or a new one when the last is old enough."""
        with self._lock:
            if self._system.now() >= self._next_s:
                began_s = time.thread_time()
                self._last = self._walk()
                cost_s = time.thread_time() - began_s
                self._next_s = self._system.now() + max(EVERY_S, cost_s / SHARE_MAX)
            return self._last

    def _walk(self) -> Count:
        account = Account()
        account.merge(self._system.closed)
        # What was there stays in the list at 0: a series that vanishes cannot be told from one that was never there.
        actors = Counter(dict.fromkeys(self._last.actors, 0))
        in_hand = 0
        for cell in self._system.cells():
            account.add(cell)
            in_hand += cell.current is not None
            actors[cell.actor_class.__name__, state_of(cell)] += 1
        return Count(account, actors, in_hand)
