"""Group `ledger`: payments through a ledger's group commit, beside the same SQL alone and one transaction a message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.ledger.actor import Ledger
from actors.ledger.batch import encode
from actors.messages import Deliver, Park, Write
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Settled
from actors.protocol.payments import PaymentSucceeded
from actors.store.catalog import import_catalog
from actors.store.connection import Connection
from actors.store.migrate import migrate
from bench.figures import Row, figure
from bench.shop import Shop
from bench.worker import LOG_FILES
from kcactors.embedded import throwaway_services
from supervision import Actor, ActorRef, ChildSpec, System

GROUP = "ledger"
BATCH, PAYMENTS, SINGLES, RUNS = 256, 8_192, 600, 3


class Student(Actor):
    """Counts its answers; the last one opens the gate."""

    def __init__(self, gate: threading.Event, goal: int) -> None:
        super().__init__()
        self.gate, self.left = gate, goal

    def on_receive(self, message: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.gate.set()


class Silent:
    """Measures nothing and takes every answer."""

    def parked(self, park: Park) -> None: ...
    def committed(self, messages: int, seconds: float) -> None: ...
    def settle(self, settled: Settled) -> None: ...


def writes(events: Sequence[PaymentSucceeded], student: ActorRef[Any]) -> list[Write]:
    return [Write(Deliver(event, Silent(), "bench", 0.0), student) for event in events]


def sql_alone(url: str, events: Sequence[PaymentSucceeded], batch: int, student: ActorRef[Any]) -> float:
    """Payments/s of the bare function with everything encoded beforehand."""
    texts = [encode(writes(events[at : at + batch], student)) for at in range(0, len(events), batch)]
    with Connection(url, "bench") as connection:
        connection.rows("epoch")
        started_s = time.perf_counter()
        for text in texts:
            connection.text("apply", text)
        return len(events) / (time.perf_counter() - started_s)


def through_ledger(url: str, events: Sequence[PaymentSucceeded]) -> float:
    """Payments/s from the first tell to the last answer in the student's mailbox."""
    system = System("bench")
    gate, silent = threading.Event(), Silent()

    def announce(_: Sequence[LoggedEvent]) -> None: ...
    def nothing(*_: object) -> None: ...

    student = system.start_child(None, ChildSpec("student", lambda: Student(gate, len(events))))
    ledger = system.start_child(
        None,
        ChildSpec(
            "ledger", lambda: Ledger(Connection(url, "bench"), announce, nothing, silent, nothing, BATCH)
        ),
    )
    messages = writes(events, student)
    started_s = time.perf_counter()
    for message in messages:
        ledger.tell(message)
    if not gate.wait(120):
        raise RuntimeError("the ledger did not answer everything")
    rate = len(events) / (time.perf_counter() - started_s)
    system.stop(10)
    return rate


def main(_arguments: list[str] | None = None) -> list[Row]:
    shop = Shop()
    rates: dict[str, list[float]] = {"alone": [], "ledger": [], "single": []}
    with throwaway_services(topics={}, log_files=LOG_FILES) as services:
        url = services.database_url
        migrate(url)
        import_catalog(url, shop.catalogue())
        system = System("names")
        nobody = system.start_child(None, ChildSpec("student", lambda: Student(threading.Event(), 1)))
        measures: dict[str, Callable[[str], float]] = {
            "alone": lambda mark: sql_alone(url, shop.events(PAYMENTS, mark), BATCH, nobody),
            "ledger": lambda mark: through_ledger(url, shop.events(PAYMENTS, mark)),
            "single": lambda mark: sql_alone(url, shop.events(SINGLES, mark), 1, nobody),
        }
        for run in range(RUNS):
            for name, measure in measures.items():
                rates[name].append(measure(f"{name}{run}_"))
        system.stop(5)
    alone = figure(GROUP, "set-based SQL alone", rates["alone"], "payments/s")
    return [
        alone,
        figure(GROUP, "one ledger", rates["ledger"], "payments/s", alone),
        figure(GROUP, "one transaction a message", rates["single"], "payments/s", alone),
    ]
