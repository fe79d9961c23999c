"""librdkafka's mock cluster with one broker, inside this process.

It checks itself with assertions that end the process (a client that sends SyncGroup twice is enough), so that nobody
but `kcactors.embedded.broker`, a process of its own, should hold one.
"""

from __future__ import annotations

import ctypes
import weakref

from kcactors.embedded import librdkafka
from kcactors.embedded.errors import ServerFailed

NAME = "the Kafka broker"
_ERROR_TEXT_MAX = 512


class MockCluster:
    """Listens on a port of loopback from its making to `close`.

    Args:
        group_delay_ms: how long a new consumer group waits for more members.

    Raises:
        ServerMissing: the wheel that brings the library is not installed.
        ServerFailed: librdkafka refused, with its words.
    """

    def __init__(self, *, group_delay_ms: int) -> None:
        library = librdkafka.library()
        text = ctypes.create_string_buffer(_ERROR_TEXT_MAX)
        settings = library.rd_kafka_conf_new()
        # The instance that the cluster hangs on is no client; it needs no warning that it has no servers.
        library.rd_kafka_conf_set(settings, b"log_level", b"3", text, _ERROR_TEXT_MAX)
        handle = library.rd_kafka_new(librdkafka.PRODUCER, settings, text, _ERROR_TEXT_MAX)
        if handle is None:
            raise ServerFailed(NAME, "did not start", text.value.decode(errors="replace"))
        self._cluster = library.rd_kafka_mock_cluster_new(handle, 1)
        if self._cluster is None:
            library.rd_kafka_destroy(handle)
            raise ServerFailed(NAME, "could not listen on a port of loopback")
        self.close = weakref.finalize(self, _destroy, self._cluster, handle)
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, group_delay_ms)

    @property
    def bootstrap(self) -> str:
        return str(librdkafka.library().rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def create_topic(self, name: str, partitions: int) -> None:
        # The library would take it, and end the process when the first client asks.
        if partitions < 1:
            raise ServerFailed(NAME, f"refused the topic {name}: it needs at least one partition")
        code = librdkafka.library().rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        _obeyed(code, f"refused to make the topic {name}", librdkafka.TOPIC_ALREADY_EXISTS)

    def delete_topic(self, name: str) -> None:
        code = librdkafka.library().rd_kafka_mock_topic_delete(self._cluster, name.encode())
        _obeyed(code, f"refused to delete the topic {name}", librdkafka.UNKNOWN_TOPIC)

    def set_down(self) -> None:
        code = librdkafka.library().rd_kafka_mock_broker_set_down(self._cluster, librdkafka.BROKER_ID)
        _obeyed(code, "refused to go down")

    def set_up(self) -> None:
        code = librdkafka.library().rd_kafka_mock_broker_set_up(self._cluster, librdkafka.BROKER_ID)
        _obeyed(code, "refused to come up")

    def advertise(self, host: str, port: int) -> None:
        library = librdkafka.library()
        library.rd_kafka_mock_broker_set_host_port(self._cluster, librdkafka.BROKER_ID, host.encode(), port)


def _obeyed(code: int, refusal: str, *harmless: int) -> None:
    if code not in (0, *harmless):
        raise ServerFailed(NAME, f"{refusal} (error {code})")


def _destroy(cluster: int, handle: int) -> None:
    library = librdkafka.library()
    library.rd_kafka_mock_cluster_destroy(cluster)
    library.rd_kafka_destroy(handle)
