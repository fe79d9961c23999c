"""A Kafka broker in memory: librdkafka's mock cluster, which speaks the real protocol on a port of loopback.

For development and quick tests. What it does not do:

* it keeps 5 MB per partition and silently drops the oldest records, so a feeder stays within 4 MB of the committed
  offset; everything is gone when it stops;
* a client must be told its version (`API_VERSION`); there is no CreateTopics, use `EmbeddedKafka.create_topic`
  (a topic that a client asks for first gets 4 partitions);
* an empty fetch is answered only after the whole wait that the client allows, and one fetch brings one produced batch
  per partition;
* a joining member's first SyncGroup is answered with error 42 (inconsistent group protocol): the retry joins.

Its threads are C and never take Python's lock, so it lives inside its owner and dies with it.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Final, Self

from kcactors.embedded import librdkafka
from kcactors.embedded.errors import ServerFailed

NAME = "the Kafka broker"
API_VERSION: Final = "2.1"
"""What a client that cannot negotiate has to be told."""

_ERROR_TEXT_MAX = 512


class EmbeddedKafka:
    """One broker. A stopped one does not come back with the same port; for "Kafka is away" use `set_down`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._cluster: int | None = None
        self._bootstrap = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        self._require()
        return self._bootstrap

    @property
    def api_version(self) -> str:
        return API_VERSION

    def start(self) -> None:
        """Bring the broker up, empty; returns when it listens.

        Raises:
            ServerMissing: the wheel that brings it is not installed.
            ServerFailed: librdkafka refused, with its words.
        """
        if self._cluster is not None:
            return
        library = librdkafka.library()
        text = ctypes.create_string_buffer(_ERROR_TEXT_MAX)
        settings = library.rd_kafka_conf_new()
        # The instance that the cluster hangs on is no client; it needs no warning that it has no servers.
        library.rd_kafka_conf_set(settings, b"log_level", b"3", text, _ERROR_TEXT_MAX)
        self._handle = library.rd_kafka_new(librdkafka.PRODUCER, settings, text, _ERROR_TEXT_MAX)
        if self._handle is None:
            raise ServerFailed(NAME, "did not start", text.value.decode(errors="replace"))
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if self._cluster is None:
            self.stop()
            raise ServerFailed(NAME, "could not listen on a port of loopback")
        # Nobody gains by the three seconds that a new group waits for more members.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def stop(self) -> None:
        """End it and forget every record; harmless when it does not run."""
        library = librdkafka.library()
        with self._lock:
            cluster, self._cluster = self._cluster, None
            handle, self._handle = self._handle, None
        if cluster is not None:
            library.rd_kafka_mock_cluster_destroy(cluster)
        if handle is not None:
            library.rd_kafka_destroy(handle)

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; one that is there already stays as it is.

        Raises:
            ServerFailed: librdkafka refused.
        """
        code = librdkafka.library().rd_kafka_mock_topic_create(self._require(), name.encode(), partitions, 1)
        if code not in (0, librdkafka.TOPIC_ALREADY_EXISTS):
            raise ServerFailed(NAME, f"refused to make the topic {name} (error {code})")

    def delete_topic(self, name: str) -> None:
        """Forget a topic and its records; one that is not there is no error."""
        code = librdkafka.library().rd_kafka_mock_topic_delete(self._require(), name.encode())
        if code not in (0, librdkafka.UNKNOWN_TOPIC):
            raise ServerFailed(NAME, f"refused to delete the topic {name} (error {code})")

    def set_down(self) -> None:
        """Break every connection and refuse new ones; topics, records and offsets stay."""
        self._obey(librdkafka.library().rd_kafka_mock_broker_set_down(self._require(), librdkafka.BROKER_ID))

    def set_up(self) -> None:
        """Take connections again, on the same port."""
        self._obey(librdkafka.library().rd_kafka_mock_broker_set_up(self._require(), librdkafka.BROKER_ID))

    def advertise(self, host: str, port: int) -> None:
        """Send clients there after their first contact: to a proxy, which they would otherwise pass by."""
        librdkafka.library().rd_kafka_mock_broker_set_host_port(
            self._require(), librdkafka.BROKER_ID, host.encode(), port
        )

    def _require(self) -> int:
        if self._cluster is None:
            raise ServerFailed(NAME, "was not started")
        return self._cluster

    @staticmethod
    def _obey(code: int) -> None:
        if code != 0:
            raise ServerFailed(NAME, f"refused (error {code})")
