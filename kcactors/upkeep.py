"""What looks after what stands: reconciler, audit and projections, and the desk for parked messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from actors.audit.actor import Auditor
from actors.audit.metrics import AuditMetrics
from actors.doorbell import DoorbellPublisher
from actors.hand import Hand
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import Windows
from actors.ingest.watch import ClientCalls
from actors.intake import Intake
from actors.metrics import WorkMetrics
from actors.parking.desk import Desk
from actors.projections.actor import PEEK_S, PROJECTIONS, Projection, ProjectionLimits, telling
from actors.projections.metrics import ProjectionMetrics
from actors.projections.names import no_names, plans
from actors.projections.superseded import taking_down
from actors.protocol.envelope import LoggedEvent
from actors.reconciler.actor import Reconciler, ReconcilerLimits
from actors.store.connection import Connection
from gateway.webhooks.kept import read_kept
from kcactors.settings import Settings
from supervision import ActorRef, Backoff, ChildSpec, PoisonPolicy, System, supervisor

LOOK_TIMEOUT_S = 60.0
"""For one statement over whole tables, which nobody waits for."""
BACKOFF = Backoff(initial_s=0.2, max_s=5.0)
LANES_AT_ONCE = 16
"""Held by the planning of sessions: with 40 others wait for their lanes, with 4 its many rounds cost them more."""


class Upkeep:
    """The specs of these actors, in the order in which they start.

    Args:
        committed: told of the events that they log. Must not block.
    """

    def __init__(
        self,
        settings: Settings,
        system: System,
        registry: CollectorRegistry,
        committed: Callable[[Sequence[LoggedEvent]], None],
    ) -> None:
        self._settings = settings
        self._system = system
        self._committed = committed
        self._audit_metrics = AuditMetrics(registry)
        self._projection_metrics = ProjectionMetrics(registry)

    def start(
        self, intake: Intake, allocator: ActorRef[Any], metrics: WorkMetrics, *, projections: bool
    ) -> None:
        """Start them below the root."""
        self._system.start_child(None, self._reconciler(intake, allocator, metrics))
        self._system.start_child(None, self._audit())
        if projections:
            above = self._system.start_child(None, supervisor("projections", []))
            wanted = self._settings.projections
            for name, on in {"echo": True, "sessions": wanted.sessions, "cache": wanted.cache}.items():
                if on:
                    self._system.start_child(above, self._projection(name))

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """Where operators deal with parked messages, on a connection of its own; for one thread."""
        with Connection(self._settings.database.url, "desk", self._settings.connection) as connection:
            yield Desk(Hand(connection, self._committed), read_kept)

    def _reconciler(self, intake: Intake, allocator: ActorRef[Any], metrics: WorkMetrics) -> ChildSpec:
        settings = self._settings.reconciler
        limits = ReconcilerLimits(
            interval_s=settings.interval_s,
            payment_age_s=settings.payment_age_s,
            allocation_age_s=settings.allocation_age_s,
            batch_max=settings.batch_max,
            share_max=settings.share_max,
        )
        return ChildSpec(
            "reconciler",
            lambda: Reconciler(
                self._connection("reconciler"), intake, allocator, limits, metrics, self._committed
            ),
            drain=False,
            poison=PoisonPolicy(retries=1),
        )

    def _audit(self) -> ChildSpec:
        settings = self._settings
        return ChildSpec(
            "audit",
            lambda: Auditor(
                self._connection("audit"), settings.audit, settings.retention, self._audit_metrics
            ),
            drain=False,
            poison=PoisonPolicy(retries=1),
        )

    def _projection(self, name: str) -> ChildSpec:
        kafka, drain_s = self._settings.kafka, self._settings.ingest.drain_s
        broker, now = kafka.broker(), self._system.clock.monotonic
        ours = self._settings.projections
        # each read costs some milliseconds, however little it finds
        rest_s = ours.echo_poll_s if name == "echo" else ours.poll_s
        limits = ProjectionLimits(
            poll_s=rest_s, drain_s=drain_s, lanes_at_once=LANES_AT_ONCE if name == "sessions" else 0
        )
        member = Membership(
            topic=kafka.business_topic,
            group_id=f"{kafka.group_id}-{name}",
            client_id=f"{self._settings.node.id}-{name}",
            drain_s=drain_s,
            fetch_wait_ms=int(PEEK_S * 1000),
            session_timeout_ms=kafka.session_timeout_ms,
            poll_max_records=ours.batch_max,
        )

        answered = telling(self._committed)
        if name == "cache":
            redis = self._settings.redis
            answered = taking_down(DoorbellPublisher(redis.url, timeout_s=redis.timeout_s).take_down)

        def make() -> Projection:
            return Projection(
                name,
                PROJECTIONS[name],
                self._settings.node.id,
                self._connection(name),
                lambda: PaymentConsumer(broker, member, Windows(), now, ClientCalls(now)),
                answered,
                limits,
                self._projection_metrics,
                plans if name == "sessions" else no_names,
            )

        return ChildSpec(
            name,
            make,
            drain=False,
            stop_timeout_s=drain_s + 4.0,
            poison=PoisonPolicy(backoff=BACKOFF),
        )

    def _connection(self, role: str) -> Connection:
        limits = msgspec.structs.replace(self._settings.connection, statement_timeout_s=LOOK_TIMEOUT_S)
        return Connection(self._settings.database.url, role, limits)
