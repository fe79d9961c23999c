"""Sees when payments that came by Kafka are committed: nobody is answered there, so the database is asked."""

from __future__ import annotations

import threading
import time
from typing import Final

from actors.store.account import Account
from kcactors.load.feeder import Sent

LOOK_EVERY_S: Final = 0.004
REST: Final = 4
"""Times as long as a look took is rested after it: at thousands a second the looks took a third of a core."""


class Arrivals:
    """Looks, in a thread of its own, for the purchases of payments that were sent by Kafka and not answered.

    Meant for a paced load, where few are on their way at once; at full speed it would load the database itself, so
    that it must look more rarely then. What an open screen shows first (`Sent.stands`) is not asked for.

    Args:
        every_s: between two looks, unless they take long; the resolution of what is measured.
    """

    def __init__(self, database_url: str, sent: Sent, *, every_s: float = LOOK_EVERY_S) -> None:
        self._every_s = every_s
        self._account = Account(database_url)
        self._sent = sent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load-arrivals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops looking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._account as account:
            pause_s = self._every_s
            while not self._stop.wait(pause_s):
                waiting = list(self._sent.unanswered)
                began_s = time.perf_counter()
                if waiting:
                    for payment_id in account.visible("kc", waiting):
                        self._sent.stands(payment_id, time.perf_counter())
                pause_s = max(self._every_s, REST * (time.perf_counter() - began_s))
