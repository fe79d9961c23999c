"""What a node shows of itself: the dashboard, its metrics, and its place among the other nodes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Gauge
from starlette.routing import BaseRoute

from actors.cluster.figures import Figures
from actors.cluster.report import NodeReport
from actors.cluster.reporter import Cluster, Reporter
from actors.doorbell import Noticeboard
from actors.store.connection import Connection
from actors.store.errors import StoreError
from actors.store.overview import Overview
from actors.store.reads import Reads
from gateway.panels.cluster import ClusterPage, cluster_route
from gateway.panels.duplicates import DuplicatesPage
from gateway.panels.parked import ParkedPage
from gateway.supervision import SupervisionDeps, dashboard_of, operator_by, routes_of
from gateway.tokens import TokenVerifier
from kcactors.settings import Settings
from kcactors.tree import Tree
from supervision import Backoff, ChildSpec, PoisonPolicy, System
from supervision.dashboard import Operator, environment

logger = logging.getLogger(__name__)

BOARD_BACKOFF = Backoff(initial_s=0.5, max_s=2.0)


class Oversight:
    """Made once the tree stands; :meth:`start` adds its one actor.

    Args:
        roles: which parts this node has.
        tokens: who may look.
    """

    def __init__(
        self,
        settings: Settings,
        system: System,
        tree: Tree,
        reads: Reads,
        registry: CollectorRegistry,
        *,
        roles: frozenset[str],
        tokens: TokenVerifier,
    ) -> None:
        self._settings = settings
        self._system = system
        self._tokens = tokens
        self._cluster = Cluster(system.now)
        self._overview = Overview(reads)
        node = settings.node.id
        env = environment("gateway")
        self._dashboard = dashboard_of(
            SupervisionDeps(
                system=system,
                node=node,
                tokens=tokens,
                overview=self._overview,
                secret=(settings.auth.jwt_secret or settings.database.url).encode(),
                panels=[
                    ClusterPage(self._cluster, env, node),
                    DuplicatesPage(self._cluster, self._overview, env),
                    ParkedPage(tree.upkeep.desk, env),
                ],
            )
        )
        registry.register(self._dashboard.collector("kcactors_"))
        self._outbox = outbox_gauge(registry)
        figures = Figures(
            node=node,
            version=_version(),
            roles=sorted(roles),
            system=system,
            census=self._dashboard.census,
            registry=registry,
            windows=tree.windows,
            degraded=tree.degraded,
            outbox_age_s=self._outbox_age(),
        )

        def measured() -> NodeReport:
            # What a closed dashboard costs: it stands on the page with the rest.
            with self._dashboard.meter.measured():
                return figures()

        self._figures = measured

    def routes(self) -> list[BaseRoute]:
        """Everything that operators may open."""

        async def verify(token: str) -> Operator:
            return await operator_by(token, self._tokens)

        return [*routes_of(self._dashboard), cluster_route(self._cluster, self._settings.node.id, verify)]

    def start(self) -> None:
        """Start to report. Called from outside the actors."""
        redis = self._settings.redis

        def reporter() -> Reporter:
            return Reporter(Noticeboard(redis.url, timeout_s=redis.timeout_s), self._cluster, self._figures)

        spec = ChildSpec("reporter", reporter, drain=False, poison=PoisonPolicy(backoff=BOARD_BACKOFF))
        self._system.start_child(None, spec)

    def close(self) -> None:
        """The node leaves: live views end."""
        self._dashboard.close()

    def _outbox_age(self) -> Callable[[], float | None]:
        """Asked in the reporter's thread, on a connection of its own."""
        connection = Connection(self._settings.database.url, "reporter", self._settings.connection)

        def ask() -> float | None:
            with contextlib.suppress(StoreError):
                rows = connection.rows("outbox_age")
                age_s = max(0.0, float(rows[0][0])) if rows else 0.0
                self._outbox.set(age_s)
                return age_s
            return None

        return ask


def outbox_gauge(registry: CollectorRegistry) -> Gauge:
    """Asked with every report."""
    return Gauge(
        "kcactors_outbox_oldest_seconds", "Age of the oldest event that Kafka has not", registry=registry
    )


def _version() -> str:
    try:
        return version("kcactors")
    except PackageNotFoundError:
        return "source"
