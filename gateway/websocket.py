"""The socket around a :class:`~gateway.session.Session`: one reader, one writer, no decisions.

The reader is the endpoint's own task. The writer lives while there is something to write, so that an idle session
costs no task. uvicorn waits in ``send`` for a slow peer; a peer that takes nothing at all is let go without a goodbye,
and the kernel drops it (``TCP_USER_TIMEOUT`` on the listening socket), since a polite close would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from gateway.access import origin_allowed
from gateway.closing import Close
from gateway.door import Door
from gateway.follower import Follower
from gateway.frames import BEARER_PREFIX, SUBPROTOCOL
from gateway.keyring import KeysAway
from gateway.problem import Problem
from gateway.session import Session
from gateway.tokens import TokenRefused

logger = logging.getLogger(__name__)

GONE = (WebSocketDisconnect, WebSocketDisconnected, OSError)
FAREWELL_S: Final = 1.0
"""How long a close may wait for a peer that does not take it."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """``WS /ws``."""
    door: Door = websocket.app.state.door
    try:
        await _admit(websocket, door)
    except Problem as refusal:
        door.metrics.handshake_refused(refusal.code)
        await _deny(websocket, refusal)
        return
    offered: list[str] = websocket.scope.get("subprotocols", [])
    bearer = next(
        (name.removeprefix(BEARER_PREFIX) for name in offered if name.startswith(BEARER_PREFIX)), None
    )
    connection = Connection(websocket, door, bearer)
    if SUBPROTOCOL in offered:
        chosen: str | None = SUBPROTOCOL
    else:
        # A browser that gets none of what it offered sees only 1006; it has to see our code.
        chosen = next((name for name in offered if not name.startswith(BEARER_PREFIX)), None)
        connection.session.close = Close.UNSUPPORTED_VERSION
    if door.hub.sessions >= door.limits.sessions:
        connection.session.close = Close.OVER_CAPACITY
    try:
        await websocket.accept(subprotocol=chosen)
    except GONE:
        door.addresses.leave(websocket)
        return
    await connection.run()


async def _admit(websocket: WebSocket, door: Door) -> None:
    """Let a handshake in, when it is its turn; it then counts for its address.

    Raises:
        Problem: what it is refused with.
    """
    headers = websocket.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), door.allowed_origins):
        raise Problem(403, "foreign_origin", "This origin is not in the list.")
    _refuse_while_draining(door)
    pause_s = door.admission.reserve(door.monotonic(), door.limits.connect_wait_s)
    if pause_s is None:
        raise Problem(503, "too_many_connects", "Too many connects at once.", retry_after_s=1)
    if pause_s:
        await asyncio.sleep(pause_s)
        _refuse_while_draining(door)
    if not door.addresses.enter(websocket):
        raise Problem(503, "address_limit", "Too many sessions from this address.", retry_after_s=5)


def _refuse_while_draining(door: Door) -> None:
    if door.draining:
        raise Problem(503, "draining", "This node is stopping.", retry_after_s=1)


async def _deny(websocket: WebSocket, problem: Problem) -> None:
    response: Response = problem.response()
    try:
        await websocket.send_denial_response(response)
    except GONE:
        logger.debug("peer left before it was refused")


class Connection:
    """One open socket: the hub's member."""

    __slots__ = ("_checking", "_closing", "_door", "_reader", "_websocket", "_writer", "follower", "session")

    def __init__(self, websocket: WebSocket, door: Door, bearer: str | None) -> None:
        self._websocket, self._door = websocket, door
        self.session = Session(
            session_id="s_" + secrets.token_hex(8),
            bearer=bearer,
            limits=door.limits,
            tally=door.metrics,
            rng=door.rng,
            now=door.monotonic(),
            wall_offset_s=door.wall() - door.monotonic(),
        )
        self.follower: Follower | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Read until one of the two sides ends it."""
        self._reader = asyncio.current_task()
        self._door.hub.admit(self)
        code, reason = 1006, "lost"
        try:
            self.settle()
            code = await self._read()
            reason = "peer"
        except asyncio.CancelledError:
            # Our own cut of a stalled peer ends here; a cancel from outside goes on.
            if self.session.close is None or self._reader is None or self._reader.uncancel() > 0:
                raise
        finally:
            self._tidy()
            close = self.session.close
            self._door.metrics.closed(close.code if close else code, close.reason if close else reason)
            logger.debug("session %s ended: %s", self.session.session_id, close.reason if close else code)

    async def _read(self) -> int:
        while True:
            try:
                message = await self._websocket.receive()
            except GONE:
                return 1006
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1005)
            text = message.get("text")
            if text is None:
                self.session.on_binary()
            else:
                self.session.on_text(text, self._door.monotonic())
            self.settle()

    def settle(self) -> None:
        """Carry out what the session now wants. Called after everything that was passed in."""
        session = self.session
        if session.verify is not None and self._checking is None:
            self._checking = asyncio.create_task(self._check())
        if self.follower is not None:
            self.follower.pump()
        self._write_soon()
        if session.close is not None and self._closing is None:
            pause_s = 0.0 if session.close is Close.SLOW_CONSUMER else FAREWELL_S
            self._closing = asyncio.get_running_loop().call_later(pause_s, self._cut)
        self._door.hub.appoint(self)

    def _write_soon(self) -> None:
        if self._writer is None and (self.session.waiting or self.session.close is not None):
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        session = self.session
        try:
            while session.waiting:
                texts = session.take(self._door.monotonic())
                self._door.hub.appoint(self)
                for text in texts:
                    await self._websocket.send_text(text)
                session.on_written()
                if self.follower is not None:
                    self.follower.pump()
            if session.close is not None:
                await self._websocket.close(session.close.code, session.close.reason)
                return
        except GONE:
            return
        self._writer = None

    async def _check(self) -> None:
        """Verify a token; the first one opens the session."""
        session = self.session
        if session.verify is None:
            return
        try:
            claims = await self._door.tokens.verify(session.verify.token)
        except TokenRefused as refused:
            session.on_refused(expired=refused.expired)
        except KeysAway:
            session.close = Close.SERVER_ERROR
        else:
            session.on_claims(claims, self._door.monotonic())
        self._checking = None
        if self.follower is None and session.close is None and session.student_id is not None:
            self._follow(session.student_id)
        self.settle()

    def _follow(self, student_id: str) -> None:
        door = self._door
        if door.hub.readers_of(student_id) >= door.limits.sessions_per_student:
            self.session.close = Close.CONNECTION_LIMIT
            return
        self.follower = door.follower(
            student_id, self.session.feed, on_news=self._write_soon, on_end=self._end
        )
        self._checking = asyncio.create_task(self._start(self.follower))

    async def _start(self, follower: Follower) -> None:
        await follower.start()
        self._checking = None
        self.settle()

    def _end(self, close: Close) -> None:
        if self.session.close is None:
            self.session.close = close
            self.settle()

    def _cut(self) -> None:
        """The peer did not take the close in time: leave, and let the kernel end the connection."""
        if self._writer is not None:
            self._writer.cancel()
        if self._reader is not None:
            self._reader.cancel()

    def _tidy(self) -> None:
        self._reader = None
        if self._closing is not None:
            self._closing.cancel()
        for task in (self._writer, self._checking):
            if task is not None:
                task.cancel()
        self._door.hub.dismiss(self)
        self._door.addresses.leave(self._websocket)
        if self.follower is not None:
            self.follower.stop()
            # Each holds the other. A session must be freed without the garbage collector, which is kept from old ones.
            self.follower = None
