"""What is open at run time: the parts that every route shares, made once from the dependencies."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from actors.doorbell import DoorbellShelf
from gateway.addresses import Addresses
from gateway.allowance import Allowance
from gateway.bridge import Bridge
from gateway.closing import Close
from gateway.devshop import DevShop
from gateway.feed import Feed
from gateway.follower import Follower
from gateway.hub import Hub
from gateway.limits import GatewayLimits
from gateway.logbook import Logbook
from gateway.metrics import GatewayMetrics
from gateway.ports import Intake, Reads
from gateway.serving import hush_uvicorn
from gateway.tokens import TokenVerifier
from gateway.views import Views
from gateway.webhooks.provider import Provider

PING_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class GatewayDeps:
    """All that the gateway is given; it reads no environment.

    Args:
        providers: name in the webhook's address to the module that checks and decodes it; an absent one is 404.
        allowed_origins: exact origins of browsers; empty means the host that was asked.
        registry: where metrics are collected and what ``/metrics`` shows.
        degraded: names of parts that are away but not needed to accept payments (``kafka``, …).
        dev: the checkout button of the learning page; None outside development.
        extra_routes: what other parts of the house mount (supervision, operators).
    """

    intake: Intake
    reads: Reads
    redis_url: str
    tokens: TokenVerifier
    providers: Mapping[str, Provider]
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    allowed_origins: Sequence[str] = ()
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    degraded: Callable[[], Sequence[str]] = tuple
    node_id: str = ""
    dev: DevShop | None = None
    extra_routes: Sequence[BaseRoute] = ()
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=random.Random)


class Door:
    """The open door. Made by :func:`gateway.app.build_app`, found at ``app.state.door``."""

    def __init__(self, deps: GatewayDeps) -> None:
        self.deps = deps
        self.limits, self.intake, self.reads, self.tokens = deps.limits, deps.intake, deps.reads, deps.tokens
        self.allowed_origins = tuple(deps.allowed_origins)
        self.monotonic, self.wall, self.rng = deps.monotonic, deps.wall, deps.rng
        self.metrics = GatewayMetrics(deps.registry)
        self.bridge = Bridge()
        limits = deps.limits
        self.logbook = Logbook(
            deps.reads,
            heads_batch=limits.heads_batch,
            replays_at_once=limits.replays_at_once,
            timeout_s=limits.read_timeout_s,
        )
        self.hub = Hub(
            redis_url=deps.redis_url,
            logbook=self.logbook,
            limits=limits,
            monotonic=deps.monotonic,
            rng=deps.rng,
        )
        self.views = Views(
            deps.reads,
            self.logbook,
            DoorbellShelf(deps.redis_url) if limits.view_cache_s else None,
            limits=limits,
            monotonic=deps.monotonic,
            on_answer=self.metrics.view,
        )
        self.addresses = Addresses(limits.sessions_per_address)
        self.admission = Allowance(limits.connects_per_s, limits.connects_per_s, deps.monotonic())
        self.draining = False
        self._beat_at: float | None = None
        self.webhooks_in_flight = 0
        self.metrics.watch(
            sessions=lambda: self.hub.sessions,
            webhooks_in_flight=lambda: self.webhooks_in_flight,
            doorbell_up=lambda: self.hub.live,
        )

    async def start(self) -> None:
        """Called in the loop that serves."""
        hush_uvicorn()
        self.bridge.attach(asyncio.get_running_loop())
        self.beat()
        await self.hub.start()

    async def stop(self) -> None:
        """The loop is about to end."""
        self.bridge.detach()
        self._beat_at = None
        await self.hub.stop()
        await self.views.close()

    async def drain(self, window_s: float | None = None) -> None:
        """Take no more, and say goodbye to every session within ``window_s``. Call it before uvicorn stops.

        uvicorn tells every socket 1012 before the application hears that it stops, and nothing can be said after that.
        """
        self.draining = True
        await self.hub.drain(self.limits.drain_s if window_s is None else window_s)

    def beat(self) -> None:
        """A sign of life, given in the loop."""
        self._beat_at = self.monotonic()

    def silent_s(self) -> float:
        """Seconds since the loop last gave a sign, 0 before it serves. May be asked from any thread."""
        return 0.0 if self._beat_at is None else self.monotonic() - self._beat_at

    def follower(
        self,
        student_id: str,
        feed: Feed,
        *,
        on_news: Callable[[], None],
        on_end: Callable[[Close], None],
    ) -> Follower:
        """A follower of one student's log, to be started and stopped by the caller."""
        return Follower(
            student_id,
            feed,
            exchange=self.hub,
            logbook=self.logbook,
            page_events=self.limits.page_events,
            retry_s=self.limits.read_retry_s,
            rng=self.rng,
            on_news=on_news,
            on_end=on_end,
        )

    async def database_answers(self) -> bool:
        """Whether the database answers within a second."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self.reads.ping()
        except Exception:  # noqa: BLE001 - whatever it was, it is not ready
            return False
        return True
