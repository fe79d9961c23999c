"""Screens that look on: WebSocket sessions that check that they see everything once, in order, and when."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from collections.abc import Sequence as Several
from typing import Any, Final

import msgspec
from websockets.exceptions import WebSocketException

from kcactors.exits import ServiceAway
from kcactors.load.sequence import Sequence
from kcactors.load.websocket import Connection

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 15.0
_CONNECTS_AT_ONCE: Final = 50
_RECONNECT_PAUSE_S: Final = 0.5


class _Frame(msgspec.Struct):
    type: str
    seq: int = 0
    head: int = 0
    epoch: str = ""
    event: str = ""
    correlation_id: str = ""


_decode = msgspec.json.Decoder(_Frame).decode


class Watcher:
    """One student's open screen. It comes back with its cursor when it is cut off, as the client does."""

    def __init__(
        self, student_id: str, url: str, token: Callable[[str], str], seen: Callable[[str, float], object]
    ) -> None:
        self.student_id = student_id
        self.sequence = Sequence()
        self.events = 0
        self.resets = 0
        self.connects = 0
        self.ready = asyncio.Event()
        self._url, self._token, self._seen = url, token, seen
        self._epoch = ""

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            names = ["kc.v1", f"kc.bearer.{self._token(self.student_id)}"]
            try:
                connection = await Connection.open(self._url, names, self._read, _CONNECT_TIMEOUT_S)
                try:
                    connection.send(msgspec.json.encode(self._hello()))
                    await connection.ended
                finally:
                    connection.close()
            except (OSError, TimeoutError, WebSocketException) as error:
                logger.debug("session of %s ended: %s", self.student_id, error)
            await asyncio.sleep(_RECONNECT_PAUSE_S)

    def _hello(self) -> dict[str, Any]:
        hello: dict[str, Any] = {"type": "connect", "client": {"name": "kcactors-load", "version": "1"}}
        if self._epoch:
            hello["since"] = {"epoch": self._epoch, "seq": self.sequence.last}
        return hello

    def _read(self, connection: Connection, text: bytes) -> None:
        frame = _decode(text)
        match frame.type:
            case "business-event":
                self._take(frame)
            case "connected":
                self._open(frame)
            case "ping":
                connection.send(b'{"type":"pong","seq":%d}' % self.sequence.last)
            case "reset":
                self.resets += 1
                self.sequence.last, self._epoch = frame.head, frame.epoch

    def _open(self, frame: _Frame) -> None:
        self.connects += 1
        if not self._epoch:
            self._epoch = frame.epoch
            self.sequence.last = frame.head
        self.ready.set()

    def _take(self, frame: _Frame) -> None:
        if self.sequence.see(frame.seq):
            self.events += 1
            if frame.event == "PURCHASE_CREATED":
                self._seen(frame.correlation_id, time.perf_counter())


class Watchers:
    """Several screens, spread over the nodes.

    Args:
        nodes: addresses of the nodes (``http://host:port``).
        token: makes a token for a student id.
        shown: told of each payment that a screen shows, and when.
    """

    def __init__(
        self,
        student_ids: Several[str],
        nodes: Several[str],
        token: Callable[[str], str],
        shown: Callable[[str, float], object] = lambda _payment, _at: None,
    ) -> None:
        self.seen_at: dict[str, float] = {}
        """Payment to when its purchase first appeared on a screen, by ``time.perf_counter``."""

        def seen(payment_id: str, at: float) -> None:
            self.seen_at.setdefault(payment_id, at)
            shown(payment_id, at)

        self._tasks: list[asyncio.Task[None]] = []
        self.watchers = [
            Watcher(student_id, _socket_url(nodes[number % len(nodes)]), token, seen)
            for number, student_id in enumerate(student_ids)
        ]

    async def start(self) -> None:
        """Opens all sessions; returns when each is connected.

        Raises:
            ServiceAway: a session could not be opened in time.
        """
        for begin in range(0, len(self.watchers), _CONNECTS_AT_ONCE):
            some = self.watchers[begin : begin + _CONNECTS_AT_ONCE]
            self._tasks += [asyncio.create_task(watcher.run()) for watcher in some]
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    for watcher in some:
                        await watcher.ready.wait()
            except TimeoutError as error:
                raise ServiceAway("the WebSocket route", "a session could not be opened") from error

    @property
    def events(self) -> int:
        """Distinct events that the screens saw."""
        return sum(watcher.events for watcher in self.watchers)

    @property
    def repeated(self) -> int:
        """Frames with a number that the session had already seen."""
        return sum(watcher.sequence.repeated for watcher in self.watchers)

    @property
    def holes(self) -> int:
        """Numbers that a session never saw, or saw too late."""
        return sum(watcher.sequence.holes for watcher in self.watchers)

    async def stop(self) -> None:
        """Closes all sessions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _socket_url(node: str) -> str:
    return node.replace("http", "ws", 1) + "/ws"
