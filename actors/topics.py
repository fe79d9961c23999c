"""The topics that must exist before a node can work: create them, or say which are missing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownBrokerIdError,
    UnsupportedVersionError,
)

from actors.broker import Broker

LOOK_S = 0.1
_EXPLICIT_REPLICATION_BELOW = (2, 4)


class BrokerAway(ConnectionError):
    """No broker answered within the time given."""


class TopicRefused(RuntimeError):
    """The broker answered, and did not create the topic (no right to, or an impossible partition count)."""


def missing_topics(broker: Broker, names: Iterable[str], timeout_s: float = 10.0) -> list[str]:
    """The names that the broker has no topic for, sorted.

    Raises:
        BrokerAway: nobody answers.
    """
    with _admin(broker, timeout_s) as admin:
        return _missing(admin, names)


def ensure_topics(
    broker: Broker, partitions: Mapping[str, int], *, replication: int = -1, timeout_s: float = 30.0
) -> list[str]:
    """Creates the topics that are missing; safe from many nodes at once.

    The embedded broker creates no topic on request: it makes one, with its own number of partitions, when
    somebody asks where the topic is. It betrays itself by naming a controller that does not exist.

    Args:
        broker: the way to the cluster.
        partitions: topic name to the number of partitions of a new one. An existing topic is left as it is.
        replication: copies of a new topic; -1 leaves it to the broker.
        timeout_s: for the whole of it.

    Returns:
        The names that were created here.

    Raises:
        BrokerAway: nobody answers.
        TopicRefused: the broker will not create one of them.
    """
    if broker.version is not None and broker.version < _EXPLICIT_REPLICATION_BELOW and replication < 1:
        replication = 1
    with _admin(broker, timeout_s) as admin:
        created = _missing(admin, partitions)
        for name in created:
            options = {"num_partitions": partitions[name], "replication_factor": replication}
            try:
                admin.create_topics({name: options}, timeout_ms=int(timeout_s * 1000), wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue
            except (UnknownBrokerIdError, UnsupportedVersionError, IncompatibleBrokerVersion):
                _ask_for(broker, name, timeout_s)
            except KafkaError as error:
                raise TopicRefused(f"{name}: {error}") from error
        absent = _missing(admin, partitions)
        # Each look may ask another broker, and not every broker knows a new topic at once.
        deadline_s = time.monotonic() + timeout_s
        while absent and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
            absent = _missing(admin, partitions)
    if absent:
        raise TopicRefused(f"still missing: {', '.join(absent)}")
    return created


def _missing(admin: KafkaAdminClient, names: Iterable[str]) -> list[str]:
    # Asking for a topic by name would create it where topics are created automatically: read the whole list.
    return sorted(set(names) - set(admin.list_topics()))


def _ask_for(broker: Broker, name: str, timeout_s: float) -> None:
    config = {**broker.client_config(), "max_block_ms": int(timeout_s * 1000)}
    try:
        with closing(KafkaProducer(**config)) as producer:
            producer.partitions_for(name)
    except KafkaError as error:
        raise TopicRefused(f"{name}: {error}") from error


@contextmanager
def _admin(broker: Broker, timeout_s: float) -> Iterator[KafkaAdminClient]:
    timeout_ms = int(timeout_s * 1000)
    try:
        admin = KafkaAdminClient(
            **broker.client_config(), request_timeout_ms=timeout_ms, bootstrap_timeout_ms=timeout_ms
        )
    except KafkaError as error:
        raise BrokerAway(f"{broker.bootstrap}: {error}") from error
    try:
        yield admin
    finally:
        admin.close()
