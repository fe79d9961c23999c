"""Keeping texts beside the doorbell, for as long as Redis likes."""

from __future__ import annotations

from typing import Final

import redis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.doorbell.away import DoorbellAway

VIEWS: Final = ("learning", "home")
"""The views of a student that are kept."""


def view_key(view: str, student_id: str, epoch: str, seq: int) -> str:
    """Where a view of a student is kept: under the place in the log at which it was read."""
    return f"kcactors:view:{view}:{student_id}:{epoch}:{seq}"


class DoorbellShelf:
    """A shelf beside the doorbell for texts that can be made again at any time. For one asyncio loop.

    Args:
        timeout_s: a shelf that answers later than this is of no use.
    """

    def __init__(self, url: str, *, timeout_s: float = 0.25, connections: int = 8) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=2,
            max_connections=connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._client = Redis.from_pool(pool)

    async def take(self, key: str) -> bytes | None:
        """What stands at ``key``, or None.

        Raises:
            DoorbellAway: no answer in time.
        """
        try:
            found = await self._client.get(key)
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise DoorbellAway(str(error)) from error
        return found.encode() if isinstance(found, str) else found

    async def put(self, key: str, text: bytes, *, keep_s: int) -> None:
        """Put ``text`` there for ``keep_s`` seconds.

        Raises:
            DoorbellAway: no answer in time.
        """
        try:
            await self._client.set(key, text, ex=keep_s)
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise DoorbellAway(str(error)) from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()
