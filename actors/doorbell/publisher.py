"""Ringing: many messages in one round trip, from a thread."""

from __future__ import annotations

from collections.abc import Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from actors.doorbell.away import DoorbellAway


class DoorbellPublisher:
    """Publishes from a thread: one pipeline, without a transaction, for many messages.

    Not thread-safe; each owner (a relay) has its own. The connection is made again on the next call after a failure.
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

    def publish(self, items: Sequence[tuple[str, str | bytes]]) -> None:
        """Publish ``(channel, text)`` pairs in their order.

        A message may have been sent although this raises; receivers drop what they have seen.

        Raises:
            DoorbellAway: for any trouble with the connection.
        """
        if not items:
            return
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for channel, text in items:
                    pipeline.publish(channel, text)
                pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise DoorbellAway(str(error)) from error

    def ping(self) -> None:
        """Prove that Redis answers.

        Raises:
            DoorbellAway: when it does not.
        """
        try:
            self._client.ping()
        except (redis.RedisError, OSError) as error:
            raise DoorbellAway(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()
