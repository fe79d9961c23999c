"""One node: all actors and the gateway in one process, from the first look at the database to the last goodbye.

Shutdown, on SIGTERM or SIGINT:

1. the door refuses new webhooks and tells every session when to come back, spread over the drain window;
2. the tree stops from the outside in: ingest leaves the group once what it has in flight stands, students finish,
   ledgers commit what has queued and answer the webhooks that still wait, the relay empties the outbox;
3. the web server closes what is left.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import uvloop
from prometheus_client import CollectorRegistry

from actors.store.connection import Connection
from actors.store.errors import StoreError
from actors.store.migrate import expected_names
from actors.store.reads import Reads
from gateway.actor import gateway_child
from gateway.app import build_app
from gateway.devshop import CourseForSale, DevShop
from gateway.door import GatewayDeps
from gateway.parkedroutes import ParkedRoutes
from gateway.serving import hush_uvicorn, listening_socket
from gateway.tokens import TokenVerifier
from gateway.webhooks.kc import KcProvider
from gateway.webhooks.provider import Provider
from gateway.webhooks.razorpay import RazorpayProvider
from gateway.webhooks.stripe import StripeProvider
from kcactors.exits import Exit, ServiceAway, WrongUse
from kcactors.oversight import Oversight
from kcactors.settings import Settings
from kcactors.tree import Tree
from kcactors.webserver import Server, server_config
from supervision import Collector, Failure, System

logger = logging.getLogger(__name__)

LOOK_S = 0.25
TEND_S = 30.0
SWITCH_S = 0.001
"""How long a busy thread keeps the interpreter from one that waits; Python's own is 5 ms. A webhook needs it five times
on its way, so that a storm of duplicates by Kafka raised its p99 to 43, 90 and 46 ms (`bench storm`). With 0.3 ms paced
webhooks waited half as long again: "a thread hands the interpreter over" in `bench/README.md` has the pairs."""
SHARED_THREADS = 1
"""Students share one thread: with a second one they would only hand the interpreter lock to and fro."""


def run_node(settings: Settings, *, host: str, port: int, roles: frozenset[str]) -> int:
    """Run until SIGTERM or SIGINT, or until the tree gives up; the exit code of the process.

    Raises:
        ServiceAway: the database did not answer within its wait.
        WrongUse: the schema is not this code's, or the address cannot be had.
    """
    sys.setswitchinterval(SWITCH_S)
    epoch = wait_for_schema(settings)
    try:
        listener = listening_socket(host, port, settings.gateway)
    except OSError as error:
        raise WrongUse(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Node(settings, epoch, roles).run(listener))


def wait_for_schema(settings: Settings) -> str:
    """Wait until the database answers and its schema is this code's; the log's epoch.

    A release that migrates while nodes start makes them wait, not fail.
    """
    deadline_s = time.monotonic() + settings.database.connect_wait_s
    with Connection(settings.database.url, "start", settings.connection) as connection:
        while True:
            trouble = _look_at_schema(connection)
            if isinstance(trouble, str):
                return trouble
            if time.monotonic() > deadline_s:
                raise trouble
            time.sleep(LOOK_S)


def _look_at_schema(connection: Connection) -> str | ServiceAway | WrongUse:
    try:
        known = {row[0] for row in connection.rows("migration_names")}
        if known >= expected_names():
            return str(connection.rows("epoch")[0][0])
    except StoreError as error:
        if "does not exist" not in str(error):
            return ServiceAway("PostgreSQL", str(error))
    return WrongUse("the schema of the database is not this version's: run `kcactors migrate` first")


class _Node:
    """What run_node holds together while it runs."""

    def __init__(self, settings: Settings, epoch: str, roles: frozenset[str]) -> None:
        self._settings = settings
        self._epoch = epoch
        self._roles = roles
        self._leaving = asyncio.Event()
        self._gave_up = False

    async def run(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leaving.set)
        registry = CollectorRegistry()
        system = System("node", shared_threads=SHARED_THREADS)

        def give_up(_: Failure) -> None:
            self._gave_up = True
            loop.call_soon_threadsafe(self._leaving.set)

        system.on_escalation(give_up)
        try:
            tree = await asyncio.to_thread(Tree, self._settings, system, registry, self._epoch, self._roles)
            async with self._reads() as reads:
                await self._serve(listener, system, tree, reads, registry)
        finally:
            clean = await asyncio.to_thread(system.stop, self._settings.node.stop_timeout_s)
            if not clean:
                logger.error("some actors did not stop in time and were abandoned")
        return Exit.NOT_KEPT if self._gave_up else Exit.DONE

    async def _serve(
        self, listener: socket.socket, system: System, tree: Tree, reads: Reads, registry: CollectorRegistry
    ) -> None:
        tokens = self._tokens()
        oversight = Oversight(self._settings, system, tree, reads, registry, roles=self._roles, tokens=tokens)
        app = build_app(self._deps(tree, reads, registry, tokens, oversight))
        hush_uvicorn()
        server = Server(server_config(app, self._settings.gateway))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        leaving = asyncio.create_task(self._leaving.wait())
        tending = asyncio.create_task(_tend())
        try:
            await asyncio.to_thread(system.start_child, None, gateway_child(app.state.door))
            await asyncio.to_thread(oversight.start)
            logger.info("node %s listens on port %d", self._settings.node.id, listener.getsockname()[1])
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            logger.info("leaving")
            oversight.close()
            await app.state.door.drain()
            await asyncio.to_thread(system.stop, self._settings.node.stop_timeout_s)
        finally:
            leaving.cancel()
            tending.cancel()
            server.should_exit = True
            await serving

    def _reads(self) -> Reads:
        database = self._settings.database
        return Reads(database.url, self._settings.connection, pool_max=database.pool_max)

    def _tokens(self) -> TokenVerifier:
        auth = self._settings.auth
        return TokenVerifier(secret=auth.jwt_secret, jwks_url=auth.jwks_url, audience=auth.jwt_audience)

    def _deps(
        self,
        tree: Tree,
        reads: Reads,
        registry: CollectorRegistry,
        tokens: TokenVerifier,
        oversight: Oversight,
    ) -> GatewayDeps:
        settings = self._settings
        return GatewayDeps(
            intake=tree.intake,
            reads=reads,
            redis_url=settings.redis.url,
            tokens=tokens,
            providers=_providers(settings),
            limits=settings.gateway,
            allowed_origins=settings.http.allowed_origins,
            registry=registry,
            degraded=tree.degraded,
            node_id=settings.node.id,
            dev=_dev_shop(settings, reads),
            extra_routes=[*oversight.routes(), *ParkedRoutes(tree.upkeep.desk).routes()],
        )


async def _tend() -> None:
    """Keep the garbage collector from walking over every student's actor at a time of its own choosing."""
    collector = Collector()
    try:
        while True:
            collector.tend()
            await asyncio.sleep(TEND_S)
    finally:
        collector.close()


def _providers(settings: Settings) -> dict[str, Provider]:
    tolerance_s = settings.gateway.signature_tolerance_s
    makers: dict[str, Callable[[Sequence[str]], Provider]] = {
        "kc": partial(KcProvider, tolerance_s=tolerance_s),
        "razorpay": RazorpayProvider,
        "stripe": partial(StripeProvider, tolerance_s=tolerance_s),
    }
    return {name: makers[name](secrets) for name, secrets in settings.webhook.by_provider().items()}


def _dev_shop(settings: Settings, reads: Reads) -> DevShop | None:
    secrets = settings.webhook.secrets_kc
    if not settings.http.dev_checkout or not secrets:
        return None

    async def courses() -> list[CourseForSale]:
        return [CourseForSale(course_id, title) for course_id, title in await reads.courses()]

    return DevShop(secrets[0], courses)
