"""Kafka for tests: one in-memory broker a session; topics and consumer group of each test's own."""

import uuid
from collections.abc import Iterator

import pytest

from kcactors.embedded import EmbeddedKafka

PARTITIONS = 3


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[EmbeddedKafka]:
    """The session's broker. A test that takes it down puts it up again (`kafka_down` does)."""
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture
def kafka_bootstrap(kafka_broker: EmbeddedKafka) -> str:
    return kafka_broker.bootstrap


@pytest.fixture
def kafka_api_version(kafka_broker: EmbeddedKafka) -> str:
    """What a client that cannot negotiate with this broker has to be told."""
    return kafka_broker.api_version


@pytest.fixture
def payment_topic(kafka_broker: EmbeddedKafka) -> Iterator[str]:
    """An empty topic of the test's own with 3 partitions."""
    yield from _topic(kafka_broker, "payment-events")


@pytest.fixture
def business_topic(kafka_broker: EmbeddedKafka) -> Iterator[str]:
    """An empty topic of the test's own with 3 partitions."""
    yield from _topic(kafka_broker, "business-events")


def _topic(broker: EmbeddedKafka, stem: str) -> Iterator[str]:
    name = f"{stem}-{uuid.uuid4().hex}"
    broker.create_topic(name, PARTITIONS)
    yield name
    broker.delete_topic(name)


@pytest.fixture
def consumer_group() -> str:
    """A group id that nobody has used."""
    return f"kcactors-{uuid.uuid4().hex}"


@pytest.fixture
def kafka_down(kafka_broker: EmbeddedKafka) -> Iterator[EmbeddedKafka]:
    """The broker, for tests that take it down: it is up again for the next test whatever happens."""
    yield kafka_broker
    kafka_broker.set_up()
