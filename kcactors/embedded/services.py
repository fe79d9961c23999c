"""The three servers together: started in one order, stopped in the reverse one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kcactors.embedded.kafka import GROUP_DELAY_MS, EmbeddedKafka
from kcactors.embedded.postgres import EmbeddedPostgres
from kcactors.embedded.redis import EmbeddedRedis

LOG_FILES = 16
"""Enough for some 20,000 payments, and half a second to lay out."""


class Services:
    """PostgreSQL, Redis and a Kafka broker on loopback.

    Args:
        data_dir: keeps PostgreSQL's data and the servers' logs; made when it is not there.
        topics: name to number of partitions, made at every start because the broker forgets them.
        group_delay_ms: how long a new consumer group waits for more members.
        log_files: of PostgreSQL, laid out with new data.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        topics: Mapping[str, int] | None = None,
        group_delay_ms: int = GROUP_DELAY_MS,
        log_files: int = LOG_FILES,
    ) -> None:
        self._dir = data_dir.absolute()
        self._topics = dict(topics or {})
        self._running = contextlib.ExitStack()
        self.postgres = EmbeddedPostgres(self._dir / "postgres", log_files=log_files)
        self.redis = EmbeddedRedis(log=self._dir / "redis.log")
        self.kafka = EmbeddedKafka(log=self._dir / "kafka.log", group_delay_ms=group_delay_ms)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.redis.url

    @property
    def kafka_bootstrap(self) -> str:
        return self.kafka.bootstrap

    @property
    def kafka_api_version(self) -> str:
        return self.kafka.api_version

    def start(self) -> None:
        """Bring all up, or none.

        Raises:
            ServiceTrouble: naming the one that is missing, in use, or failed.
        """
        self._dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as starting:
            for server in (self.postgres, self.redis, self.kafka):
                starting.enter_context(server)
            for name, partitions in self._topics.items():
                self.kafka.create_topic(name, partitions)
            self._running = starting.pop_all()

    def stop(self) -> None:
        """End all; harmless when they do not run."""
        self._running.close()


@contextlib.contextmanager
def throwaway_services(
    *, topics: Mapping[str, int] | None = None, log_files: int = LOG_FILES
) -> Iterator[Services]:
    """Services on a temporary folder that is gone, with everything in it, when the block ends."""
    with throwaway_dir() as folder:
        services = Services(folder, topics=topics, log_files=log_files)
        try:
            with services:
                yield services
        finally:
            services.postgres.destroy()


@contextlib.contextmanager
def throwaway_dir() -> Iterator[Path]:
    """A temporary folder that an unprivileged server can pass; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="kcactors-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
