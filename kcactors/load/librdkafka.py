"""The feeder's way to Kafka: librdkafka, because the load generator must not use up the CPU it wants to measure.

kafka-python sends a record for 29 µs of CPU, librdkafka for 3; the service itself keeps to kafka-python. Nothing else
of the load test imports this driver.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from actors.broker import Broker
from kcactors.exits import ServiceAway

EMBEDDED_BYTES_MAX: Final = 4_000_000
"""The embedded broker silently drops the oldest records of a partition beyond 5 MB: stay well below."""

LINGER_MS: Final = 2
RECORD_OVERHEAD_BYTES: Final = 160
_SMALLEST_RECORD_BYTES: Final = 500
_TIMEOUT_S: Final = 10.0
_STUCK_AFTER_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02


def client_config(broker: Broker) -> dict[str, Any]:
    """The broker's address and security in librdkafka's words."""
    config: dict[str, Any] = {
        "bootstrap.servers": broker.bootstrap,
        "security.protocol": broker.security_protocol,
        "log_level": 2,
    }
    if broker.sasl_mechanism is not None:
        config["sasl.mechanisms"] = broker.sasl_mechanism
        config["sasl.username"] = broker.sasl_username
        config["sasl.password"] = broker.sasl_password
    if broker.ssl_cafile is not None:
        config["ssl.ca.location"] = broker.ssl_cafile
    return config


class PaymentTopic:
    """Produces payment events and follows how far the service's group has committed.

    Args:
        group: the service's consumer group.
        embedded: the broker is the embedded one, which must not be fed far ahead of the committed offsets.
        linger_ms: how long records of a partition are gathered before they are sent.

    Raises:
        ServiceAway: no broker answers, or the topic does not exist.
    """

    def __init__(
        self, broker: Broker, topic: str, group: str, *, embedded: bool, linger_ms: int = LINGER_MS
    ) -> None:
        self._topic = topic
        self._embedded = embedded
        config = client_config(broker)
        # Java's partitioner, so that a student's records meet those of other producers in one partition.
        self._producer = Producer(
            {
                **config,
                "linger.ms": linger_ms,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._offsets = Consumer({**config, "group.id": group, "enable.auto.commit": False})
        self._ends: dict[int, int] = {}
        self._largest = 1
        self._failed: list[str] = []
        self._partitions = partition_ids(self._offsets, topic)

    def send(self, key: str, body: bytes) -> None:
        """Hands one record to the producer; it is on its way when this returns, not stored."""
        self._largest = max(self._largest, len(key) + len(body) + RECORD_OVERHEAD_BYTES)
        while True:
            try:
                self._producer.produce(self._topic, body, key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Waits until every record is stored. Raises `ServiceAway` when the broker does not take them all."""
        left = self._producer.flush(_TIMEOUT_S * 3)
        if left or self._failed:
            raise ServiceAway("Kafka", self._failed[0] if self._failed else f"{left} records were not taken")

    def behind(self) -> int:
        """Stored records that the group has not committed, over all partitions."""
        return sum(self._backlog().values())

    def wait_for_room(self) -> None:
        """Blocks until the embedded broker can take more without dropping what is not consumed yet.

        Raises:
            ServiceAway: nothing was consumed for a minute.
        """
        if not self._embedded:
            return
        self._producer.flush(_TIMEOUT_S)
        least, since = None, time.monotonic()
        while (most := max(self._backlog().values(), default=0)) * self._largest >= EMBEDDED_BYTES_MAX // 2:
            if least is None or most < least:
                least, since = most, time.monotonic()
            if time.monotonic() - since > _STUCK_AFTER_S:
                raise ServiceAway("the service", f"it has consumed nothing for {_STUCK_AFTER_S:.0f} s")
            time.sleep(_LOOK_EVERY_S)

    def records_before_check(self) -> int:
        """How many records may be sent blindly before `wait_for_room`, even if all share a partition."""
        return EMBEDDED_BYTES_MAX // 2 // max(self._largest, _SMALLEST_RECORD_BYTES)

    def close(self) -> None:
        """Lets go of the clients."""
        self._producer.flush(_TIMEOUT_S)
        self._offsets.close()

    def _backlog(self) -> dict[int, int]:
        wanted = [TopicPartition(self._topic, partition) for partition in self._partitions]
        try:
            committed = self._offsets.committed(wanted, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise ServiceAway("Kafka", str(error)) from error
        return {
            # others may send to the same topic, so that the group can be beyond our own last record
            place.partition: max(0, self._ends[place.partition] - max(place.offset, 0))
            for place in committed
            if place.partition in self._ends
        }

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(str(error))
            return
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:
            self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)


class TopicReader:
    """Reads a topic from its present end on, in a thread of its own, and hands each record over.

    Args:
        take: called with headers and value, in the order of each partition, from the reader's thread.
    """

    def __init__(self, broker: Broker, topic: str, take: Callable[[dict[str, bytes], bytes], None]) -> None:
        self._take = take
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                **client_config(broker),
                "group.id": "kcactors-load",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign(list(self._ends(topic)))
        self._thread = threading.Thread(target=self._run, name="load-topic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join(_TIMEOUT_S)
        self._consumer.close()

    def _ends(self, topic: str) -> Iterable[TopicPartition]:
        for partition in partition_ids(self._consumer, topic):
            _, end = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_S
            )
            yield TopicPartition(topic, partition, end)

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, timeout=0.1):
                if message.error() is None:
                    headers = {name: _bytes(text) for name, text in dict(message.headers() or ()).items()}
                    self._take(headers, _bytes(message.value()))


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""


def partition_ids(client: Consumer, topic: str) -> list[int]:
    """The partitions of a topic. Raises `ServiceAway` when no broker answers or there is no such topic."""
    try:
        found = client.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise ServiceAway("Kafka", str(error)) from error
    if not found.partitions:
        raise ServiceAway("Kafka", f"there is no topic {topic}")
    return sorted(found.partitions)
