"""The tree of one node: which actors there are, in which order they start, and what each is given.

Started in this order and stopped in the reverse one: publisher first up and last down, so that whatever a ledger
commits is brought out; ingest and gateway last up and first down, so that nothing comes in that nobody works on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from actors.allocation.actor import Allocator
from actors.doorbell import DoorbellPublisher
from actors.gathering import Gathering
from actors.ingest.actor import Ingest, IngestLimits
from actors.ingest.breaker import BreakerLimits
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import WindowLimits, Windows
from actors.ingest.partition import naming
from actors.ingest.watch import ClientCalls, IngestWatch
from actors.intake import Intake
from actors.ledger.actor import Ledger
from actors.ledger.choice import choose
from actors.messages import ServeWaitlist, Write, Written
from actors.metrics import PartitionMetrics, WorkMetrics
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Outcome, Settled
from actors.publisher.announcer import Announcer, announcing
from actors.publisher.kafka import EventProducer
from actors.publisher.librdkafka import LibrdkafkaProducer
from actors.publisher.producer import Producer
from actors.publisher.relay import Nudge, Relay, RelayLimits
from actors.store.connection import Connection
from actors.student.actor import Student
from kcactors.chronicle import Chronicle
from kcactors.settings import Settings
from kcactors.upkeep import Upkeep
from supervision import (
    ActorDeadError,
    ActorRef,
    Backoff,
    ChildSpec,
    Failure,
    MailboxFull,
    PoisonPolicy,
    Router,
    System,
    supervisor,
)

DATABASE_BACKOFF = Backoff(initial_s=0.05, max_s=1.0)
"""Between tries of a batch while the database is away: short, because students wait on the other side."""
BROKER_BACKOFF = Backoff(initial_s=0.2, max_s=2.0)
ALLOCATOR_BATCHES = 4
"""How many ledger batches the allocator takes at once.

It waits for the lanes that ledgers hold, so under load it has to make more of each turn than they do: 3,600 payments/s
became 4,000 until all is allocated and published, and a quarter of its SQL went.
"""


class Tree:
    """The running actors of a node, without the gateway, which needs them first.

    Args:
        epoch: of the log, read from the database.
        roles: which parts this node has.
    """

    def __init__(
        self,
        settings: Settings,
        system: System,
        registry: CollectorRegistry,
        epoch: str,
        roles: frozenset[str],
    ) -> None:
        self._settings = settings
        self._system = system
        self._roles = roles
        self._epoch = epoch
        self._registry = registry
        self._chronicle = Chronicle(system)
        self.metrics = WorkMetrics(registry, self._chronicle.parked)
        self.windows = Windows(_breaker(settings))
        registry.register(PartitionMetrics(self.windows.all, system.clock.monotonic))
        self._states: dict[str, bool] = {"redis": True}
        self._generations = [0] * settings.ledger.count
        self._start()

    def degraded(self) -> Sequence[str]:
        """Parts that are away while payments go on."""
        return sorted(name for name, up in list(self._states.items()) if not up)

    def _start(self) -> None:
        system = self._system
        nudge = Nudge()
        publisher = system.start_child(None, supervisor("publisher", []))
        announcer = system.start_child(publisher, ChildSpec("announcer", self._announcer))
        announce = announcing(announcer)
        system.start_child(
            publisher,
            ChildSpec(
                "relay",
                lambda: self._relay(announce, nudge),
                stop_timeout_s=self._settings.publisher.ack_timeout_s + 2.0,
                poison=PoisonPolicy(backoff=BROKER_BACKOFF),
            ),
        )

        def committed(events: Sequence[LoggedEvent]) -> None:
            announce(events)
            nudge()

        core = system.start_child(None, supervisor("core", [], strategy="rest_for_one"))
        self.allocator = system.start_child(core, self._allocator_spec(committed))
        ledgers = [
            system.start_child(core, self._ledger_spec(index, committed))
            for index in range(self._settings.ledger.count)
        ]
        self.students = self._router(ledgers)
        self.intake = Intake(self.students, ledgers, system.clock)
        system.start_child(core, self.students.spec())
        if "ingest" in self._roles:
            self._start_ingest(core)
        self.upkeep = Upkeep(self._settings, system, self._registry, committed)
        self.upkeep.start(self.intake, self.allocator, self.metrics, projections="projections" in self._roles)

    def _connection(self, role: str) -> Connection:
        return Connection(self._settings.database.url, role, self._settings.connection)

    def _state(self, name: str) -> Callable[[bool], None]:
        return partial(self._set_state, name)

    def _set_state(self, name: str, up: bool) -> None:  # noqa: FBT001  (a callback with one fact)
        before = self._states.get(name)
        if before is not up:
            self._states[name] = up
            self.metrics.up.labels(name).set(up)
            self._chronicle.state(name, before, up)

    def _announcer(self) -> Announcer:
        redis = self._settings.redis
        doorbell = DoorbellPublisher(redis.url, timeout_s=redis.timeout_s)
        return Announcer(doorbell, self._epoch, self.metrics, self._state("redis"))

    def _relay(self, announce: Callable[[Sequence[LoggedEvent]], None], nudge: Nudge) -> Relay:
        kafka, publisher = self._settings.kafka, self._settings.publisher

        make = LibrdkafkaProducer if kafka.producer == "librdkafka" else EventProducer

        def connect() -> Producer:
            return make(
                kafka.broker(),
                kafka.business_topic,
                self._settings.node.id,
                ack_timeout_s=publisher.ack_timeout_s,
            )

        limits = RelayLimits(
            round_max=publisher.round_max,
            poll_s=publisher.poll_s,
            asleep_s=2 * publisher.ack_timeout_s + 5.0,
        )
        connection = self._connection("relay")
        return Relay(connection, connect, announce, nudge, limits, self.metrics, self._state("kafka"))

    def _allocator_spec(self, committed: Callable[[Sequence[LoggedEvent]], None]) -> ChildSpec:
        batch_max = ALLOCATOR_BATCHES * self._settings.ledger.batch_max
        return ChildSpec(
            "allocator",
            lambda: Allocator(self._connection("allocator"), committed, batch_max),
            poison=PoisonPolicy(retries=1, backoff=DATABASE_BACKOFF),
            mailbox_limit=self._settings.ledger.mailbox_max,
        )

    def _ledger_spec(self, index: int, committed: Callable[[Sequence[LoggedEvent]], None]) -> ChildSpec:
        settings = self._settings.ledger

        def generation(number: int) -> None:
            self._generations[index] = number

        def make() -> Ledger:
            connection = self._connection(f"ledger-{index}")
            return Ledger(
                connection, committed, self._serve_waitlist, self.metrics, generation, settings.batch_max
            )

        return ChildSpec(
            f"ledger-{index}",
            make,
            poison=PoisonPolicy(retries=1, backoff=DATABASE_BACKOFF, park=refuse),
            mailbox_limit=settings.mailbox_max,
        )

    def _generation(self) -> int:
        """Of all connections together: a student's effects may have come by any of them."""
        return sum(self._generations)

    def _serve_waitlist(self) -> None:
        try:
            self.allocator.tell(ServeWaitlist())
        except (MailboxFull, ActorDeadError):
            # the reconciler asks for the same at its next look
            return

    def _router(self, ledgers: Sequence[ActorRef[Any]]) -> Router:
        settings = self._settings.student
        ledger = partial(choose, ledgers)  # one for all of them

        def student(_key: str) -> Student:
            return Student(ledger, self.allocator, self._generation, settings.remembered_max, self.metrics)

        def park(key: str, message: Any, failure: Failure) -> None:
            self.intake.park_message(key, message, failure)

        return Router(
            student,
            idle_s=settings.idle_s,
            active_max=settings.active_max,
            mailbox_limit=settings.mailbox_max,
            poison=PoisonPolicy(retries=settings.attempts_max - 1, park=park),
            group_of=naming(self._settings.kafka.partitions),
        )

    def _start_ingest(self, core: ActorRef[Any]) -> None:
        kafka, ingest = self._settings.kafka, self._settings.ingest
        broker = kafka.broker()
        member = Membership(
            topic=kafka.payment_topic,
            group_id=kafka.group_id,
            client_id=self._settings.node.id,
            drain_s=ingest.drain_s,
            fetch_wait_ms=kafka.fetch_wait_ms,
            session_timeout_ms=kafka.session_timeout_ms,
            poll_max_records=ingest.poll_max_records,
            beside=kafka.business_topic,
        )
        limits = IngestLimits(
            window=WindowLimits(in_flight_max=ingest.in_flight_max, span_max=ingest.span_max),
            commit_interval_s=ingest.commit_interval_s,
            drain_s=ingest.drain_s,
            partitions=kafka.partitions,
        )
        now = self._system.clock.monotonic
        calls = ClientCalls(now)

        def connect() -> PaymentConsumer:
            fenced = self._chronicle.fenced
            return PaymentConsumer(broker, member, self.windows, now, calls, fenced, Gathering())

        spec = ChildSpec(
            "ingest",
            lambda: Ingest(connect, self.intake, self.students, limits, self.metrics, self._set_state),
            drain=False,
            stop_timeout_s=ingest.drain_s + 4.0,
            poison=PoisonPolicy(backoff=BROKER_BACKOFF),
        )
        ref = self._system.start_child(core, spec)

        def restart() -> None:
            self.windows.claim()
            self._system.restart(ref)

        watch = ChildSpec("ingest-watch", lambda: IngestWatch(calls, restart, ingest.stuck_s), drain=False)
        self._system.start_child(core, watch)


def refuse(name: str, message: Any, failure: Failure) -> None:
    """A ledger cannot handle this message: nothing was written, so its source has to bring it again."""
    settled = Settled(Outcome.REFUSED, detail=f"{name}: {failure.error!r}")
    if isinstance(message, Write):
        message.student.tell(Written(message.deliver, settled))
    else:
        message.source.settle(settled)


def _breaker(settings: Settings) -> BreakerLimits:
    ingest = settings.ingest
    return BreakerLimits(
        consecutive_max=ingest.parked_in_a_row_max,
        ratio_max=ingest.parked_ratio_max,
        pause_s=ingest.parked_pause_s,
    )
