"""The producer of business events: the only place that knows kafka-python's producer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from actors.broker import Broker
from actors.protocol.envelope import LoggedEvent, kafka_headers


class BrokerAway(Exception):
    """Kafka did not take the events; which of them it took is not known to the last one."""


class EventProducer:
    """Sends events in order and waits for the reports. Idempotent, all replicas, one round at a time.

    Args:
        ack_timeout_s: after this the round counts as failed; the client gives its batches up at the same time, so that
            nothing of an old round is sent later.
    """

    def __init__(self, broker: Broker, topic: str, client_id: str, *, ack_timeout_s: float = 10.0) -> None:
        self._topic = topic
        self._ack_timeout_s = ack_timeout_s
        try:
            self._producer = KafkaProducer(
                client_id=client_id,
                acks="all",
                enable_idempotence=True,
                batch_size=131_072,
                linger_ms=2,
                delivery_timeout_ms=int(ack_timeout_s * 1000),
                request_timeout_ms=max(1_000, int(ack_timeout_s * 1000) - 1_000),
                max_block_ms=int(ack_timeout_s * 1000),
                **broker.client_config(),
            )
        except KafkaError as error:
            raise BrokerAway(str(error)) from error

    def send(self, events: Sequence[LoggedEvent]) -> list[bool]:
        """Send a round; for each event whether the brokers have it.

        Raises:
            BrokerAway: the client could not even take them.
        """
        deadline_s = time.monotonic() + self._ack_timeout_s
        try:
            reports: list[Any] = [
                self._producer.send(
                    self._topic,
                    key=event.student_id.encode(),
                    value=bytes(event.data),
                    headers=kafka_headers(event),
                )
                for event in events
            ]
            self._producer.flush(timeout=self._ack_timeout_s)
        except (KafkaError, AssertionError) as error:
            raise BrokerAway(f"{type(error).__name__}: {error}") from error
        return [_arrived(report, deadline_s) for report in reports]

    def close(self, timeout_s: float = 0.0) -> None:
        """Leave. With 0, what is not acknowledged yet is given up."""
        self._producer.close(timeout=timeout_s)


def _arrived(report: Any, deadline_s: float) -> bool:
    try:
        report.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except KafkaError:
        return False
    return True
