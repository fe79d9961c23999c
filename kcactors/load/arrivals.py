"""Sees when payments that came by Kafka are committed: nobody is answered there, so the database is asked."""

from __future__ import annotations

import threading
import time
from typing import Final

from actors.store.account import Account
from kcactors.load.feeder import Sent

LOOK_EVERY_S: Final = 0.004


class Arrivals:
    """Looks, in a thread of its own, for the purchases of payments that were sent by Kafka and not answered.

    Meant for a paced load, where few are on their way at once; at full speed it would load the database itself, so
    that it must look more rarely then.

    Args:
        every_s: between two looks; the resolution of what is measured.
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
            while not self._stop.wait(self._every_s):
                waiting = list(self._sent.unanswered)
                if not waiting:
                    continue
                for payment_id in account.visible("kc", waiting):
                    self._sent.committed.setdefault(payment_id, time.perf_counter())
                    self._sent.unanswered.discard(payment_id)
