"""The producer of business events on librdkafka: the promise of `actors.publisher.producer` at a tenth of the cost.

The only place that knows confluent-kafka's producer. It keeps a lane's order even through failures: with the gapless
guarantee, a record that could not be delivered stops the client instead of letting the next one pass.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from actors.broker import Broker
from actors.protocol.envelope import LoggedEvent, kafka_headers
from actors.publisher.producer import BrokerAway

logger = logging.getLogger(__name__)

QUEUED_MAX = 100_000
"""Records in the client; a round is far smaller, so a full queue means that something is wrong."""


class LibrdkafkaProducer:
    """See the module, and `actors.publisher.kafka.EventProducer` for arguments and promise."""

    def __init__(self, broker: Broker, topic: str, client_id: str, *, ack_timeout_s: float = 10.0) -> None:
        self._topic = topic
        self._ack_timeout_s = ack_timeout_s
        self._fatal: str | None = None
        try:
            self._producer = Producer(
                {
                    "client.id": client_id,
                    "acks": "all",
                    "enable.idempotence": True,
                    "enable.gapless.guarantee": True,
                    "linger.ms": 2,
                    "batch.num.messages": 10_000,
                    "batch.size": 1_000_000,
                    "message.timeout.ms": int(ack_timeout_s * 1000),
                    "queue.buffering.max.messages": QUEUED_MAX,
                    "reconnect.backoff.max.ms": 1_000,
                    "error_cb": self._on_error,
                    **broker.librdkafka_config(),
                },
                logger=logger,
            )
        except KafkaException as error:
            raise BrokerAway(str(error)) from error

    def send(self, events: Sequence[LoggedEvent]) -> list[bool]:
        """Send a round; for each event whether the brokers have it.

        Raises:
            BrokerAway: the client is of no use any more; nothing that it still held is sent later.
        """
        arrived = [False] * len(events)
        try:
            for number, event in enumerate(events):
                self._producer.produce(
                    self._topic,
                    bytes(event.data),
                    event.student_id.encode(),
                    headers=[*kafka_headers(event)],
                    on_delivery=partial(_note, arrived, number),
                )
            left = self._producer.flush(self._ack_timeout_s)
        except (KafkaException, BufferError) as error:
            raise BrokerAway(f"{type(error).__name__}: {error}") from error
        if left or self._fatal or not all(arrived):
            # A record that is late or stopped must not be sent after the next round has begun.
            self.close()
            if not any(arrived):
                raise BrokerAway(self._fatal or f"no report for {left} of {len(events)} events")
        return arrived

    def close(self, timeout_s: float = 0.0) -> None:
        """Leave. With 0, what is not acknowledged yet is given up."""
        if timeout_s:
            self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.flush(0)

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self._fatal = str(error)
        logger.warning("%s", error)


def _note(arrived: list[bool], number: int, error: Any, _message: Any) -> None:
    arrived[number] = error is None
