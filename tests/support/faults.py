"""Faults as fixtures: proxies in front of the servers."""

from collections.abc import Iterator

import pytest

from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.support.fault_proxy import FaultProxy


@pytest.fixture
def postgres_proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    """Use it as ``postgres_proxy.url(database_url)``."""
    with FaultProxy(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def redis_proxy(redis_server: EmbeddedRedis) -> Iterator[FaultProxy]:
    """Use it as ``redis_proxy.url(redis_url)``."""
    with FaultProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def kafka_proxy(kafka_broker: EmbeddedKafka) -> Iterator[FaultProxy]:
    """Every client of the broker goes through it, whatever bootstrap address it was given first."""
    host, port = kafka_broker.bootstrap.split(":")
    with FaultProxy(int(port)) as proxy:
        kafka_broker.advertise(host, proxy.port)
        yield proxy
        kafka_broker.advertise(host, int(port))
