"""Listening: the channels that somebody in this process wants, confirmed, and again after every break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import redis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.doorbell.away import DoorbellAway
from actors.doorbell.line import Line

logger = logging.getLogger(__name__)

SUBSCRIBE_MAX: Final = 1000
"""Channels in one SUBSCRIBE command: after a reconnect there may be a hundred thousand."""


class DoorbellSubscriber:
    """Listens, in one asyncio loop, to the channels that somebody in this process wants.

    Args:
        url: ``redis://`` or ``rediss://``.
        on_ring: called with channel and text for every message.
        on_up: called when a connection stands and every wanted channel is confirmed again.
        on_down: called once when the connection is lost.
        silence_s: a connection that says nothing for so long is asked with PING; after as long again it is given up.
        backoff_max_s: longest pause between two attempts to connect (full jitter, from 50 ms on).
    """

    def __init__(
        self,
        url: str,
        *,
        on_ring: Callable[[str, str], None],
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
        timeout_s: float = 2.0,
        silence_s: float = 2.0,
        backoff_max_s: float = 2.0,
        rng: random.Random | None = None,
    ) -> None:
        self._pool: ConnectionPool = ConnectionPool.from_url(
            url,
            protocol=2,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._on_ring, self._on_up, self._on_down = on_ring, on_up, on_down
        self._silence_s, self._backoff_max_s = silence_s, backoff_max_s
        self._timeout_s = timeout_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._lines: dict[str, Line] = {}
        self._wishes: deque[str] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._heard_at = 0.0
        self._unconfirmed = 0
        self.up = False
        """Whether every wanted channel is confirmed on a connection that answers."""

    @property
    def channels(self) -> int:
        """Number of channels that somebody wants."""
        return len(self._lines)

    async def subscribe(self, channel: str) -> bool:
        """Want a channel once more. True: confirmed, no message from now on is missed while the connection stands.

        False: Redis is away. The wish stands; ``on_up`` says when it holds.
        """
        line = self._lines.get(channel)
        if line is None:
            line = self._lines[channel] = Line()
        line.users += 1
        if line.confirmed:
            return True
        if self._connection is None:
            return False
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        line.waiters.append(waiter)
        if line.users == 1:
            self._wish(channel)
        return await waiter

    def unsubscribe(self, channel: str) -> None:
        """Want it once less; the last one ends it."""
        line = self._lines.get(channel)
        if line is None:
            return
        line.users -= 1
        if line.users <= 0:
            self._wish(channel)

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        attempt = 0
        try:
            while True:
                try:
                    await self._session()
                except (redis.RedisError, OSError, TimeoutError) as error:
                    attempt = 0 if self.up else attempt + 1
                    logger.log(logging.WARNING if self.up else logging.DEBUG, "doorbell away: %s", error)
                finally:
                    await self._hang_up()
                ceiling = min(self._backoff_max_s, 0.05 * 2 ** min(attempt, 10))
                await asyncio.sleep(self._rng.uniform(0.02, ceiling))
        finally:
            await self._pool.disconnect()

    async def _session(self) -> None:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        self._connection = connection
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        for channel in [name for name, line in self._lines.items() if line.users <= 0]:
            del self._lines[channel]
        wanted = list(self._lines)
        self._unconfirmed = len(wanted)
        watchdog = asyncio.create_task(self._watch(connection))
        try:
            for start in range(0, len(wanted), SUBSCRIBE_MAX):
                part = wanted[start : start + SUBSCRIBE_MAX]
                for channel in part:
                    line = self._lines[channel]
                    line.wired, line.pending = True, 1
                await _send(connection, "SUBSCRIBE", *part)
            if not wanted:
                await _send(connection, "PING")
            while True:
                self._take(await connection.read_response(timeout=math.inf, disconnect_on_error=False))
                self._heard_at = loop.time()
        finally:
            watchdog.cancel()

    def _take(self, answer: Any) -> None:
        if not isinstance(answer, list):
            if not self.up and not self._unconfirmed:
                self._stand()
            return
        kind = answer[0]
        if kind == "message":
            self._on_ring(answer[1], answer[2])
        elif kind == "subscribe":
            self._confirm(answer[1])
        elif kind == "pong" and not self.up and not self._unconfirmed:
            self._stand()

    def _confirm(self, channel: str) -> None:
        if self._unconfirmed:
            self._unconfirmed -= 1
        line = self._lines.get(channel)
        if line is not None:
            # Subscribed, left and subscribed again at once: only the last confirmation counts, for Redis was deaf to us
            # between the first and it.
            line.pending -= 1
            if line.pending <= 0:
                line.pending = 0
                if line.wired:
                    line.confirmed = True
                    line.answer(confirmed=True)
                elif line.users <= 0:
                    del self._lines[channel]
        if not self.up and not self._unconfirmed:
            self._stand()

    def _stand(self) -> None:
        self.up = True
        self._on_up()

    async def _watch(self, connection: AbstractConnection) -> None:
        # A peer that vanished without a FIN leaves read_response waiting for ever.
        loop = asyncio.get_running_loop()
        while True:
            asleep_at = loop.time()
            await asyncio.sleep(self._silence_s / 2)
            if loop.time() - asleep_at > self._silence_s:
                # This loop was held up: what Redis said meanwhile is still to be read.
                self._heard_at = loop.time()
            silent_s = loop.time() - self._heard_at
            if silent_s > 2 * self._silence_s:
                logger.warning("doorbell silent for %.1f s", silent_s)
                await connection.disconnect(nowait=True)
                return
            if silent_s > self._silence_s / 2:
                with contextlib.suppress(redis.RedisError, OSError):
                    await _send(connection, "PING")

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        was_up, self.up = self.up, False
        for line in self._lines.values():
            line.wired, line.pending, line.confirmed = False, 0, False
            line.answer(confirmed=False)
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
        if was_up:
            self._on_down()

    def _wish(self, channel: str) -> None:
        self._wishes.append(channel)
        if self._flushing is None and self._connection is not None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        """Send what changed since the last flush: a storm of sessions becomes few commands."""
        try:
            await asyncio.sleep(0)
            while self._wishes and (connection := self._connection) is not None:
                names = dict.fromkeys(
                    self._wishes.popleft() for _ in range(min(len(self._wishes), SUBSCRIBE_MAX))
                )
                join, leave = self._changes(names)
                if leave:
                    await _send(connection, "UNSUBSCRIBE", *leave)
                if join:
                    await _send(connection, "SUBSCRIBE", *join)
        except (redis.RedisError, OSError):
            logger.debug("doorbell lost while subscribing")
        finally:
            self._flushing = None
            if self._connection is None:
                self._wishes.clear()

    def _changes(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        join: list[str] = []
        leave: list[str] = []
        for name in names:
            line = self._lines.get(name)
            if line is None:
                continue
            if line.users > 0 and not line.wired:
                line.wired = True
                line.pending += 1
                join.append(name)
            elif line.users <= 0 and line.wired:
                line.wired = line.confirmed = False
                leave.append(name)
            if line.users <= 0 and not line.pending:
                del self._lines[name]
        return join, leave


async def _send(connection: AbstractConnection, *command: str) -> None:
    # The client would connect again by itself, to a connection without our subscriptions.
    if not connection.is_connected:
        raise DoorbellAway("the connection is closed")
    await connection.send_command(*command, check_health=False)
