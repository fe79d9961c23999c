"""Keep-alive HTTP connections for sending webhooks: one request at a time on each, no more features than that.

A load test shares the machine with what it measures. A general client costs several times the CPU of the webhook
route itself, so this one is a protocol of asyncio over httptools, which does the parsing.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import httptools

BODY_MAX_BYTES: Final = 1 << 20


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

    @property
    def usable(self) -> bool:
        """Whether another request can go over this connection."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Raises ``ConnectionError`` when the connection is lost before the answer is whole."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection promises
        self._transport = transport

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
    """

    def __init__(self, url: str, connections: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._authority = parts.netloc
        self._free: asyncio.LifoQueue[Line | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._free.put_nowait(None)

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends one POST.

        Raises:
            OSError: the server cannot be reached, or the connection was lost on the way.
        """
        head = f"POST {path} HTTP/1.1\r\nhost: {self._authority}\r\ncontent-type: application/json\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"{head}{lines}content-length: {len(body)}\r\n\r\n".encode() + body
        line = await self._free.get()
        try:
            if line is None or not line.usable:
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
        while not self._free.empty():
            line = self._free.get_nowait()
            if line is not None:
                line.close()

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(Line, self._host, self._port)
        return line
