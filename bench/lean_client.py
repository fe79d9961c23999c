"""Thousands of WebSocket clients in one process: as little Python for each as a measurement needs."""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast

MASKED = 0x80


def masked_text(payload: bytes) -> bytes:
    """A client's text frame, masked with zeros: legal, and free."""
    length = len(payload)
    head = (
        bytes([0x81, MASKED | length])
        if length < 126
        else bytes([0x81, MASKED | 126]) + length.to_bytes(2, "big")
    )
    return head + b"\0\0\0\0" + payload


class LeanClient(asyncio.Protocol):
    """Handshakes, says its first frame, and hands every text frame on.

    Args:
        on_text: called with each text frame's bytes.
        on_end: called once when the connection ends.
    """

    __slots__ = (
        "_buffer",
        "_hello",
        "_on_end",
        "_on_text",
        "_open",
        "_request",
        "closed",
        "opened",
        "transport",
    )

    def __init__(
        self,
        *,
        host: str,
        token: str | None,
        hello: bytes | None,
        on_text: Callable[[bytes], None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        names = "kc.v1" + (f", kc.bearer.{token}" if token else "")
        key = base64.b64encode(os.urandom(16)).decode()
        self._request = (
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {names}\r\n\r\n"
        ).encode()
        self._hello, self._on_text, self._on_end = hello, on_text, on_end
        self._buffer = b""
        self._open = False
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)
        self._request = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.opened.done():
            self.opened.set_result(False)
        self._on_end()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._open and not self._shake():
            return
        self._frames()

    def send(self, text: bytes) -> None:
        if self.transport is not None:
            self.transport.write(masked_text(text))

    def _shake(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        good = b" 101 " in head[:20]
        self.opened.set_result(good)
        if not good:
            if self.transport is not None:
                self.transport.close()
            return False
        self._open, self._buffer = True, rest
        if self._hello is not None:
            self.send(self._hello)
        return True

    def _frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            size, body = buffer[at + 1] & 0x7F, at + 2
            if size == 126:
                size, body = int.from_bytes(buffer[body : body + 2], "big"), body + 2
            elif size == 127:
                size, body = int.from_bytes(buffer[body : body + 8], "big"), body + 8
            if len(buffer) < body + size:
                break
            kind = buffer[at] & 0x0F
            if kind == 1:
                self._on_text(buffer[body : body + size])
            elif kind == 9 and self.transport is not None:
                self.transport.write(bytes([0x8A, MASKED | size]) + b"\0\0\0\0" + buffer[body : body + size])
            elif kind == 8 and self.transport is not None:
                self.transport.close()
            at = body + size
        self._buffer = buffer[at:]
