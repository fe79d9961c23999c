"""Keep-alive HTTP connections for sending webhooks: one request at a time on each, no more features than that.

A load test shares the machine with what it measures. A general client costs several times the CPU of the webhook
route itself, so this one is a protocol of asyncio over httptools, which does the parsing, and one look a second finds
the answers that don't come: a task with a timeout for each took a third of its 74 microseconds a request.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

BODY_MAX_BYTES: Final = 1 << 20

_LOOK_S: Final = 1.0


class Answer:
    """Status and body of one response."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class Line(asyncio.Protocol):
    """One connection. `ask` sends a request and waits for its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._asked_s = 0.0

    @property
    def usable(self) -> bool:
        """Whether another request can go over this connection."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Raises ``ConnectionError`` when the connection is lost before the answer is whole; see also `give_up`."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        loop = asyncio.get_running_loop()
        self._waiting, self._asked_s = loop.create_future(), loop.time()
        self._transport.write(request)
        return await self._waiting

    def give_up(self, asked_before_s: float) -> None:
        """Hangs up with a ``TimeoutError`` if its answer has been waited for since before that time of the loop."""
        if self._waiting is not None and not self._waiting.done() and self._asked_s < asked_before_s:
            self._waiting.set_exception(TimeoutError("no answer in time"))
            self.close()

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What create_connection promises; uvloop's transport is no subclass of it.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail("the connection was lost")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")
            self.close()

    def on_body(self, part: bytes) -> None:
        """Called by the parser."""
        self._body += part
        if len(self._body) > BODY_MAX_BYTES:
            self._fail("the answer is too long")
            self.close()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        answer = Answer(self._parser.get_status_code(), bytes(self._body))
        keep = self._parser.should_keep_alive()
        self._body.clear()
        if not keep:
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(why))


class Lines:
    """A bounded set of connections to one server; a request waits for a free one.

    Args:
        url: the server, ``http://host:port``.
        connections: how many requests may be on their way at once.
        timeout_s: an answer, or a connection, that takes longer is given up, at most a second later.
    """

    def __init__(self, url: str, connections: int, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._authority = parts.netloc
        self._timeout_s = timeout_s
        self._free: asyncio.LifoQueue[Line | None] = asyncio.LifoQueue()
        self._open: set[Line] = set()
        self._look: asyncio.TimerHandle | None = None
        for _ in range(connections):
            self._free.put_nowait(None)

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends one POST.

        Raises:
            OSError: the server cannot be reached, or the connection was lost on the way.
            TimeoutError: it did not answer.
        """
        head = f"POST {path} HTTP/1.1\r\nhost: {self._authority}\r\ncontent-type: application/json\r\n"
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = f"{head}{lines}content-length: {len(body)}\r\n\r\n".encode() + body
        line = await self._free.get()
        try:
            if line is None or not line.usable:
                self._open.discard(line)
                line = await self._connect()
            return await line.ask(request)
        except BaseException:
            # A cancelled request leaves its answer on the way: the next one on this line would take it for its own.
            if line is not None:
                line.close()
            raise
        finally:
            self._free.put_nowait(line)

    async def close(self) -> None:
        """Hangs up every connection."""
        if self._look is not None:
            self._look.cancel()
        while not self._free.empty():
            line = self._free.get_nowait()
            if line is not None:
                line.close()

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            _, line = await loop.create_connection(Line, self._host, self._port)
        self._open.add(line)
        if self._look is None:
            self._look_for_late()
        return line

    def _look_for_late(self) -> None:
        loop = asyncio.get_running_loop()
        for line in self._open:
            line.give_up(loop.time() - self._timeout_s)
        self._look = loop.call_later(_LOOK_S, self._look_for_late)
