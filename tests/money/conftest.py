from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.money.ledgerbook import Book

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
