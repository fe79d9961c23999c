from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from actors.store.migrate import migrate
from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.money.ledgerbook import Book
from tests.money.shop import Shop
from tests.node.conftest import create_database

MakeBook = Callable[..., Book]


@pytest.fixture
def make_book(database_url: str, database: "psycopg.Connection[Any]") -> Iterator[MakeBook]:
    """A new course in the test's database, with a trainer for each capacity."""
    with ExitStack() as stack:

        def make(*capacities: int) -> Book:
            book = Book(database_url, database, *capacities)
            stack.callback(book.close)
            return book

        yield make


@pytest.fixture
def book(make_book: MakeBook) -> Book:
    """A course with one trainer who has room for two."""
    return make_book(2)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    kafka_broker: EmbeddedKafka,
) -> Iterator[Shop]:
    """A whole node that knows all providers; each test brings students and a course of its own."""
    number = uuid4().hex[:8]
    database_url = create_database(postgres_server, f"shop_{number}")
    migrate(database_url)
    topics = (f"payment-events-{number}", f"business-events-{number}")
    for topic in topics:
        kafka_broker.create_topic(topic, 3)
    with Shop(
        tmp_path_factory.mktemp("shop"),
        database_url=database_url,
        redis_url=redis_server.url,
        kafka=kafka_broker.bootstrap,
        topics=topics,
    ) as shop:
        yield shop
