"""A node of its own over throwaway servers, for the groups that measure the whole way."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from actors.store.catalog import import_catalog
from actors.store.migrate import migrate
from bench.shop import Shop
from kcactors.child import ChildNode
from kcactors.embedded import Services, throwaway_services
from kcactors.embedded.ports import candidates

PARTITIONS = 12
JWT_SECRET = "a secret of the bench, long enough for HS256"  # noqa: S105 - of throwaway servers
WEBHOOK_SECRET = "whsec_of_the_bench"  # noqa: S105


class Worker:
    """A running node and what can be asked of its database."""

    def __init__(self, services: Services, node: ChildNode) -> None:
        self.services, self.node = services, node
        self._database = psycopg.connect(services.database_url, autocommit=True)

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
        fields = Path(f"/proc/{self.node.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def worker(shop: Shop, **settings: str) -> Iterator[Worker]:
    """Servers, schema, catalogue and one node that is ready."""
    topics = {"payment-events": PARTITIONS, "business-events": PARTITIONS}
    with throwaway_services(topics=topics) as services, tempfile.TemporaryDirectory() as folder:
        migrate(services.database_url)
        import_catalog(services.database_url, shop.catalogue())
        given: dict[str, Any] = {
            "KCACTORS_DATABASE_URL": services.database_url,
            "KCACTORS_REDIS_URL": services.redis_url,
            "KCACTORS_KAFKA_BOOTSTRAP": services.kafka_bootstrap,
            "KCACTORS_KAFKA_API_VERSION": services.kafka.api_version,
            "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "KCACTORS_KAFKA_FETCH_WAIT_MS": "20",
            "KCACTORS_JWT_SECRET": JWT_SECRET,
            "KCACTORS_WEBHOOK_SECRETS_KC": WEBHOOK_SECRET,
        }
        node = ChildNode(next(candidates()), given | settings, log=Path(folder) / "node.log")
        try:
            node.wait_ready()
            yield Worker(services, node)
        finally:
            node.stop()
