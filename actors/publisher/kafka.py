"""The producer of business events: the only place that knows kafka-python's producer, and its traps.

Read in and tried with kafka-python 3.0.12:

* a batch that fails does not stop the next one of its partition, which would let ``seq`` 6 reach the topic before 5. So
  a round is at most one batch per partition: the batch is larger than a round may be (`ROUND_BYTES_MAX`), and nothing
  is sent before ``flush``;
* ``close(timeout=0)`` raises while something is pending, before it ends its sender, which would go on sending.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from actors.broker import Broker
from actors.protocol.envelope import LoggedEvent, kafka_headers
from actors.publisher.outbox import ROUND_BYTES_MAX
from actors.publisher.producer import BrokerAway

logger = logging.getLogger(__name__)

BATCH_BYTES = ROUND_BYTES_MAX + 200_000
"""Still below what brokers take by default, 1 MiB."""
LINGER_S = 1.0
"""Longer than filling a round takes; ``flush`` ends it."""
BOOTSTRAP_MS = 5_000


class EventProducer:
    """Sends events in order and waits for the reports. Idempotent, all replicas, one round at a time.

    Args:
        ack_timeout_s: after this the round counts as failed; the client gives its batches up at the same time, so
            that nothing of an old round is sent later.

    Raises:
        BrokerAway: no broker answers.
    """

    def __init__(self, broker: Broker, topic: str, client_id: str, *, ack_timeout_s: float = 10.0) -> None:
        self._topic = topic
        self._ack_timeout_s = ack_timeout_s
        networks: list[Any] = []

        def network(**config: Any) -> Any:
            networks.append(KafkaProducer.DEFAULT_CONFIG["kafka_client"](**config))
            return networks[-1]

        try:
            self._producer = KafkaProducer(
                client_id=client_id,
                acks="all",
                enable_idempotence=True,
                batch_size=BATCH_BYTES,
                linger_ms=int(LINGER_S * 1000),
                delivery_timeout_ms=int(ack_timeout_s * 1000),
                request_timeout_ms=max(1_000, int((ack_timeout_s - LINGER_S) * 1000) - 1_000),
                max_block_ms=int(ack_timeout_s * 1000),
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                kafka_client=network,
                **broker.client_config(),
            )
        except KafkaError as error:
            for one in networks:
                one.close()
            raise BrokerAway(str(error)) from error

    def send(self, events: Sequence[LoggedEvent]) -> list[bool]:
        """Send a round, at most `ROUND_BYTES_MAX` of it; for each event whether the brokers have it.

        Raises:
            BrokerAway: the client could not even take them.
        """
        deadline_s = time.monotonic() + self._ack_timeout_s
        refused: set[str] = set()
        try:
            answers = [self._hand_over(event, refused) for event in events]
            self._producer.flush(timeout=self._ack_timeout_s)
        except (KafkaError, AssertionError) as error:
            raise BrokerAway(f"{type(error).__name__}: {error}") from error
        return [answer is not None and _arrived(answer, deadline_s) for answer in answers]

    def _hand_over(self, event: LoggedEvent, refused: set[str]) -> Any:
        """The client's promise of an answer; ``None`` for a refused event, and for those of its student behind it."""
        if event.student_id in refused:
            return None
        try:
            return self._producer.send(
                self._topic,
                key=event.student_id.encode(),
                value=bytes(event.data),
                headers=kafka_headers(event),
            )
        except MessageSizeTooLargeError as error:
            logger.error("event %s can never be sent: %s", event.event_id, error)  # noqa: TRY400  (no trace needed)
            refused.add(event.student_id)
            return None

    def close(self, timeout_s: float = 0.0) -> None:
        """Leave. With 0, what is not acknowledged yet is given up: its rows are still there."""
        try:
            self._producer.close(timeout=timeout_s)
        except KafkaError:
            self._producer._sender.force_close()  # noqa: SLF001  (see the module)


def _arrived(answer: Any, deadline_s: float) -> bool:
    try:
        answer.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except KafkaError:
        return False
    return True
