from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from actors.store.migrate import migrate
from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.node.house import House

MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    kafka_bootstrap: str,
    payment_topic: str,
    business_topic: str,
) -> Iterator[MakeHouse]:
    """A node over the session's servers; keyword arguments replace addresses and settings."""
    with ExitStack() as stack:

        def make(**changes: Any) -> House:
            arguments: dict[str, Any] = {
                "database_url": database_url,
                "redis_url": redis_url,
                "kafka": kafka_bootstrap,
                "topics": (payment_topic, business_topic),
            } | changes
            return stack.enter_context(House(tmp_path, **arguments))

        yield make


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    kafka_broker: EmbeddedKafka,
) -> Iterator[House]:
    """One node for the tests of a module, which each bring students of their own."""
    number = uuid4().hex[:8]
    database_url = create_database(postgres_server, f"house_{number}")
    migrate(database_url)
    topics = (f"payment-events-{number}", f"business-events-{number}")
    for topic in topics:
        kafka_broker.create_topic(topic, 3)
    folder = tmp_path_factory.mktemp("house")
    with House(
        folder,
        database_url=database_url,
        redis_url=redis_server.url,
        kafka=kafka_broker.bootstrap,
        topics=topics,
    ) as house:
        yield house


def create_database(server: EmbeddedPostgres, name: str) -> str:
    """A database that lives as long as the session's server."""
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return server.url_of(name)
