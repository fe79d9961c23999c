"""A WebSocket connection that hands each text on as it comes: `websockets` speaks the protocol, nothing is queued.

The library's own connections put each message into a queue and wake a task for it, which took a third of the load
test's CPU with 2,000 screens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, cast

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri


class Connection(asyncio.Protocol):
    """One session; made by `open`.

    Attributes:
        opened: done when hands were shaken, with an error when they were not.
        ended: done when the connection is gone, however that came.
    """

    def __init__(
        self, url: str, subprotocols: Sequence[str], take: Callable[[Connection, bytes], object]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._take = take
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(each) for each in subprotocols]
        )
        self._transport: asyncio.Transport | None = None
        self._text: bytes | None = None
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(
        cls,
        url: str,
        subprotocols: Sequence[str],
        take: Callable[[Connection, bytes], object],
        timeout_s: float,
    ) -> Self:
        """Connects and shakes hands.

        Args:
            url: ``ws://`` or ``wss://``.
            subprotocols: offered, in this order.
            timeout_s: for both.
            take: called with the connection and each text message, in order, before the next one is read.

        Raises:
            OSError: nobody listens there, or the connection was lost.
            TimeoutError: no answer in time.
            WebSocketException: it was refused.
        """
        at = parse_uri(url)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, made = await loop.create_connection(
                lambda: cls(url, subprotocols, take), at.host, at.port, ssl=True if at.secure else None
            )
            try:
                await made.opened
            except BaseException:
                made.close()
                raise
        return made

    def send(self, text: bytes) -> None:
        """Sends one text message, unless the connection is ending."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            self._flush()

    def close(self) -> None:
        """Says that it goes and goes, without waiting for the answer."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.GOING_AWAY)
            self._flush()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        # uvloop's transports are of no class of asyncio's
        self._transport = cast("asyncio.Transport", transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._hear(event)
            elif isinstance(event, Response):
                self._shake()
        self._flush()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the connection was lost in the handshake"))
        if not self.ended.done():
            self.ended.set_result(None)

    def _hear(self, frame: Frame) -> None:
        """A text is whole with its last frame; other frames may come between."""
        if frame.opcode is Opcode.TEXT:
            self._text = bytes(frame.data)
        elif frame.opcode is Opcode.CONT and self._text is not None:
            self._text += frame.data
        else:
            return
        if frame.fin:
            text, self._text = self._text, None
            self._take(self, text)

    def _shake(self) -> None:
        refused = self._protocol.handshake_exc
        if self.opened.done():
            return
        if refused is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(
                refused if isinstance(refused, WebSocketException) else WebSocketException(str(refused))
            )

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._transport is None or self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof()
