"""A node of its own over throwaway servers, for the groups that measure the whole way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psycopg

from actors.store.catalog import import_catalog
from actors.store.migrate import migrate
from bench.clocks import PostgresClock, process_s
from bench.shop import Shop
from kcactors.child import ChildNode
from kcactors.embedded import Services, throwaway_services
from kcactors.embedded.ports import LOOPBACK, candidates
from kcactors.readiness import wait_until_ready
from tests.support.apache_kafka import ApacheKafka
from tests.support.kafka_jars import JarsMissing, class_path

TOPICS = ("payment-events", "business-events")
PARTITIONS = 12
FETCH_WAIT_MS = 20
LOG_FILES = 64
"""Of PostgreSQL, 1 GiB: as in a database that has run for a while, where no commit waits for a new one."""
BENCH = "the bench itself"
JWT_SECRET = "a secret of the bench, long enough for HS256"  # noqa: S105 - of throwaway servers
WEBHOOK_SECRET = "whsec_of_the_bench"  # noqa: S105


class Servers(Protocol):
    """Where a node finds what it needs; ``kafka_api_version`` where the broker cannot be asked for it."""

    @property
    def database_url(self) -> str: ...
    @property
    def redis_url(self) -> str: ...
    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def kafka_api_version(self) -> str | None: ...


class Worker:
    """A running node and what can be asked of its database."""

    def __init__(self, services: Servers, node: ChildNode) -> None:
        self.services, self.node = services, node
        self._database = psycopg.connect(services.database_url, autocommit=True, application_name=BENCH)
        self._postgres = PostgresClock(self._database)

    def number(self, statement: str) -> int:
        row = self._database.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def wait_for(self, statement: str, goal: int, timeout_s: float = 120.0) -> float:
        """When the statement's number has reached the goal, on the performance counter."""
        deadline_s = time.perf_counter() + timeout_s
        while self.number(statement) != goal:
            if time.perf_counter() > deadline_s:
                raise RuntimeError(
                    f"{statement}: {self.number(statement)} instead of {goal} after {timeout_s:.0f} s"
                )
            time.sleep(0.02)
        return time.perf_counter()

    def cpu_s(self) -> float:
        """CPU that the node has used, all threads."""
        return process_s(self.node.pid)

    def postgres_s(self) -> float:
        """CPU that PostgreSQL has used, all processes, without what the bench itself asked on this connection."""
        return self._postgres.total_s() - process_s(self._database.info.backend_pid)


@contextmanager
def ground(shop: Shop) -> Iterator[Services]:
    """Servers, schema and catalogue, and nobody who works yet."""
    with throwaway_services(topics=dict.fromkeys(TOPICS, PARTITIONS), log_files=LOG_FILES) as services:
        migrate(services.database_url)
        import_catalog(services.database_url, shop.catalogue())
        yield services


class _WithApacheKafka(NamedTuple):
    database_url: str
    redis_url: str
    kafka_bootstrap: str
    kafka_api_version: str | None = None


def lacks_apache_kafka() -> str | None:
    """Why Apache Kafka cannot be started here, or ``None`` where it can."""
    if shutil.which("java") is None:
        return "Java is not installed"
    try:
        class_path()
    except JarsMissing as missing:
        return str(missing)
    return None


@contextmanager
def ground_with_apache_kafka(shop: Shop) -> Iterator[Servers]:
    """As `ground`, with one broker of Apache Kafka in place of the embedded one.

    Raises:
        JarsMissing: they are not here and cannot be had.
    """
    class_path()
    with ApacheKafka() as kafka, throwaway_services(log_files=LOG_FILES) as services:
        for topic in TOPICS:
            kafka.create_topic(topic, PARTITIONS)
        migrate(services.database_url)
        import_catalog(services.database_url, shop.catalogue())
        yield _WithApacheKafka(services.database_url, services.redis_url, kafka.bootstrap)


@contextmanager
def node_on(services: Servers, module: str = "kcactors", **settings: str) -> Iterator[Worker]:
    """One node on servers that run, ready and owner of every partition; ``module`` is what is run as one."""
    given: dict[str, Any] = {
        "KCACTORS_DATABASE_URL": services.database_url,
        "KCACTORS_REDIS_URL": services.redis_url,
        "KCACTORS_KAFKA_BOOTSTRAP": services.kafka_bootstrap,
        "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KCACTORS_KAFKA_FETCH_WAIT_MS": str(FETCH_WAIT_MS),
        "KCACTORS_JWT_SECRET": JWT_SECRET,
        "KCACTORS_WEBHOOK_SECRETS_KC": WEBHOOK_SECRET,
    }
    if services.kafka_api_version:
        given["KCACTORS_KAFKA_API_VERSION"] = services.kafka_api_version
    with tempfile.TemporaryDirectory() as folder:
        node = ChildNode(next(candidates()), given | settings, log=Path(folder) / "node.log", module=module)
        try:
            wait_until_ready([node], PARTITIONS)
            yield Worker(services, node)
        finally:
            node.stop()


@contextmanager
def worker(shop: Shop, **settings: str) -> Iterator[Worker]:
    """Servers, schema, catalogue and one node that is ready."""
    with ground(shop) as services, node_on(services, **settings) as at:
        yield at


class Rival:
    """A process of `bench.handwritten` that works beside the same servers."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        deadline_s = time.perf_counter() + timeout_s
        while "ready" not in self.said:
            if time.perf_counter() > deadline_s or self.process.poll() is not None:
                raise RuntimeError("the worker to compare with did not start")
            time.sleep(0.05)


@contextmanager
def rival_on(services: Servers, kind: str) -> Iterator[Rival]:
    """One of the workers that one would write by hand; see `bench.handwritten`."""
    port = next(candidates())
    given = {
        **os.environ,
        "BENCH_DATABASE_URL": services.database_url,
        "BENCH_REDIS_URL": services.redis_url,
        "BENCH_KAFKA_BOOTSTRAP": services.kafka_bootstrap,
        "BENCH_KAFKA_API_VERSION": services.kafka_api_version or "",
        "BENCH_FETCH_WAIT_MS": str(FETCH_WAIT_MS),
        "BENCH_PORT": str(port),
    }
    words = [sys.executable, "-m", "bench.handwritten", kind]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=given)
    try:
        rival = Rival(process, f"http://{LOOPBACK}:{port}")
        rival.wait_ready()
        yield rival
    finally:
        process.kill()
        process.wait()
