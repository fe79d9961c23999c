"""One connection that belongs to one thread: a ledger's, an allocator's, the relay's.

It connects on first use and after a loss, and it says how often it did (``generation``): whoever remembers effects of
an earlier generation forgets them, since a restored database may not hold them any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg

from actors.store.direct import Direct, TwoTrips
from actors.store.errors import DatabaseAway, sort_error
from actors.store.sql import query


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the database may take. ``dead_peer_s`` bounds a half-open connection, which would hold its locks on."""

    connect_timeout_s: int = 5
    lock_timeout_s: float = 2.0
    statement_timeout_s: float = 5.0
    dead_peer_s: int = 10


def conninfo(url: str, role: str, limits: ConnectionLimits) -> dict[str, Any]:
    """Keyword arguments for the driver, with the role's name where an operator sees it (``pg_stat_activity``)."""
    return {
        "conninfo": url,
        "autocommit": True,
        "connect_timeout": limits.connect_timeout_s,
        "application_name": f"kcactors {role}",
        "keepalives": 1,
        "keepalives_idle": limits.dead_peer_s,
        "keepalives_interval": max(1, limits.dead_peer_s // 3),
        "keepalives_count": 3,
        "tcp_user_timeout": limits.dead_peer_s * 1000,
        "target_session_attrs": "read-write",
        "options": f"-c lock_timeout={int(limits.lock_timeout_s * 1000)}"
        f" -c statement_timeout={int(limits.statement_timeout_s * 1000)}"
        f" -c idle_in_transaction_session_timeout={int(limits.statement_timeout_s * 3000)}",
    }


class Connection:
    """A connection with named queries and sorted errors. Not for more than one thread."""

    def __init__(self, url: str, role: str, limits: ConnectionLimits | None = None) -> None:
        self._kwargs = conninfo(url, role, limits or ConnectionLimits())
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._direct: Direct | None = None
        self.generation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, name: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run the named query and return its rows.

        Raises:
            DatabaseAway, Contended, BadData, StoreFault: see :mod:`actors.store.errors`.
        """
        with self._sorted_errors():
            return self._open().execute(query(name), parameters).fetchall()

    def run(self, name: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run the named statement that returns nothing; the number of rows that it touched."""
        with self._sorted_errors():
            return self._open().execute(query(name), parameters).rowcount

    def text(self, name: str, argument: bytes) -> bytes:
        """The answer of the named statement, which takes one text and returns one: see :mod:`actors.store.direct`.

        Raises:
            DatabaseAway, Contended, BadData, StoreFault: see :mod:`actors.store.errors`.
        """
        with self._sorted_errors():
            return self._direct_way().text(name, argument)

    @contextlib.contextmanager
    def two_trips(self) -> Iterator[TwoTrips]:
        """A transaction of two statements in two round trips; inside another transaction it is a part of that one.

        What was begun and not committed is rolled back at the end.
        """
        with self._sorted_errors():
            trips = TwoTrips(self._direct_way())
            try:
                yield trips
            finally:
                trips.leave()

    @contextlib.contextmanager
    def transaction(self, *, rehearse: bool = False) -> Iterator[None]:
        """One transaction around several statements; with ``rehearse`` it is rolled back at the end."""
        with self._sorted_errors(), self._open().transaction(force_rollback=rehearse):
            yield

    def close(self) -> None:
        """Close, if open. A later use connects again."""
        connection, self._connection, self._direct = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(**self._kwargs)
            self._direct = None
            self.generation += 1
        return self._connection

    def _direct_way(self) -> Direct:
        connection = self._open()
        if self._direct is None:
            self._direct = Direct(connection)
        return self._direct

    @contextlib.contextmanager
    def _sorted_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            sorted_error = sort_error(error)
            if isinstance(sorted_error, DatabaseAway):
                self.close()
            raise sorted_error from error
