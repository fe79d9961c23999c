"""How the database is to answer a look: read a whole table, or go from row to row by index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actors.store.connection import Connection


@contextmanager
def planned(connection: Connection, *, whole: bool) -> Iterator[None]:
    """One transaction, whose statements are planned for a whole table or else for few rows, in one process.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    with connection.transaction():
        connection.rows("look_plan", {"whole": whole})
        yield
