"""Notes of the nodes about themselves, with expiry: who reads the board sees all of them."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from actors.doorbell.away import DoorbellAway


class Noticeboard:
    """Small notes under names, which the other nodes read. Not thread-safe; each owner has its own.

    Every method raises :class:`DoorbellAway` for any trouble with the connection, and connects again on the next call.
    """

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        self._client = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )

    def pin(self, board: str, name: str, note: bytes, kept_s: int) -> dict[str, bytes]:
        """Put up a note in the place of the last one by that name; all notes of the board.

        The whole board is gone ``kept_s`` after the last note was put up.
        """
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.hset(board, name, note)
                pipeline.expire(board, kept_s)
                pipeline.hgetall(board)
                found: dict[bytes, bytes] = pipeline.execute()[2]
        except (redis.RedisError, OSError) as error:
            raise DoorbellAway(str(error)) from error
        return {key.decode(errors="replace"): text for key, text in found.items()}

    def take_down(self, board: str, name: str) -> None:
        """Remove a note, if it is there."""
        try:
            self._client.hdel(board, name)
        except (redis.RedisError, OSError) as error:
            raise DoorbellAway(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()
