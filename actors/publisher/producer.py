"""What the relay needs of a Kafka client. Two adapters keep this promise; `tests/kafka` holds both to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from actors.protocol.envelope import LoggedEvent


class BrokerAway(Exception):
    """Kafka did not take the events; which of them it took is not known to the last one."""


class Producer(Protocol):
    """Sends events in order and waits for the reports. Idempotent, all replicas, one round at a time."""

    def send(self, events: Sequence[LoggedEvent]) -> list[bool]:
        """Send a round; for each event whether the brokers have it.

        Raises:
            BrokerAway: the client is of no use any more. Nothing that it still held may be sent later.
        """
        ...

    def close(self, timeout_s: float = 0.0) -> None:
        """Leave. With 0, what is not acknowledged yet is given up."""
        ...
