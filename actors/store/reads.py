"""The read side: what the door asks of the database, on one pool beside the writers' own connections."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from actors.protocol.envelope import envelope_text
from actors.store.connection import ConnectionLimits, conninfo
from actors.store.errors import DatabaseAway, sort_error
from actors.store.rows import logged_event
from actors.store.sql import query


class Frame(NamedTuple):
    """One event of the log as it goes over the wire."""

    seq: int
    text: str


class LogPage(NamedTuple):
    """Events after a position and the state of the log, from one snapshot.

    ``oldest`` is the lowest ``seq`` still in the log, ``head + 1`` where the log is empty.
    """

    epoch: str
    head: int
    oldest: int
    frames: list[Frame]


class Reads:
    """Questions to the database. Use it as an asynchronous context; every method may raise :class:`DatabaseAway`.

    Args:
        pool_max: connections at most; further questions wait ``wait_s`` for one, at most ``waiting_max`` at a time.
    """

    def __init__(
        self,
        database_url: str,
        limits: ConnectionLimits | None = None,
        *,
        pool_max: int = 8,
        wait_s: float = 2.0,
        waiting_max: int = 1_000,
    ) -> None:
        kwargs = conninfo(database_url, "reads", limits or ConnectionLimits())
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]] = AsyncConnectionPool(
            conninfo=kwargs.pop("conninfo"),
            kwargs=kwargs,
            min_size=1,
            max_size=pool_max,
            timeout=wait_s,
            max_waiting=waiting_max,
            reconnect_timeout=10.0,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def learning(self, student_id: UUID) -> bytes:
        """JSON of the learning view, with ``as_of_seq`` and ``epoch``."""
        rows = await self.rows("learning", {"student": student_id})
        return str(rows[0][0]).encode()

    async def home(self, student_id: UUID) -> bytes:
        """JSON of the short view."""
        rows = await self.rows("home", {"student": student_id})
        return str(rows[0][0]).encode()

    async def events_after(self, student_id: UUID, after: int, limit: int) -> LogPage:
        """The first ``limit`` events with ``seq > after``."""
        rows = await self.rows("events_after", {"student": student_id, "after": after, "limit": limit})
        epoch, head, oldest = rows[0][:3]
        frames = [
            Frame(row[5], envelope_text(logged_event(row[3:]), epoch).decode())
            for row in rows
            if row[3] is not None
        ]
        return LogPage(epoch, head, oldest, frames)

    async def heads(self, student_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Last ``seq`` of each; a student without events is absent."""
        return dict(await self.rows("heads", (list(student_ids),)))

    async def epoch(self) -> str:
        """The log's epoch."""
        return str((await self.rows("epoch"))[0][0])

    async def courses(self, most: int = 100) -> list[tuple[UUID, str]]:
        """Ids and titles of the catalogue's first courses."""
        return [(row[0], row[1]) for row in await self.rows("courses", (most,))]

    async def ping(self) -> None:
        """Prove that the database answers."""
        await self.rows("epoch")

    async def rows(self, name: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """The rows of a named query."""
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(query(name), parameters)
                return await cursor.fetchall()
        except (PoolTimeout, TooManyRequests) as error:
            raise DatabaseAway(str(error)) from error
        except psycopg.Error as error:
            raise sort_error(error) from error
