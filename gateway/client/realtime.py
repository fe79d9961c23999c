"""The Python client of ``kc.v1``: the pure core on the websockets library, for services and tests.

```python
async with RealtimeClient("wss://host/ws", get_token, on_event=handle) as realtime:
    await realtime.ready()
    paid = await realtime.wait_for(lambda event: event["correlation_id"] == payment_id)
```
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from gateway.client.core import (
    Action,
    Become,
    ClientCore,
    Cursor,
    Deliver,
    Drop,
    FetchSnapshot,
    FetchToken,
    Open,
    Save,
    Send,
    Tell,
)
from gateway.frames import BEARER_PREFIX, SUBPROTOCOL

logger = logging.getLogger(__name__)

Frame: TypeAlias = dict[str, Any]

RECENT: Final = 64
TRIES: Final = 3
"""How often a handler that raises gets the same event, before it is passed over."""
OPEN_TIMEOUT_S: Final = 20.0


class Stopped(ConnectionError):
    """The server said for good that this session must not go on. ``code`` is its close code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"stopped with {code}")
        self.code = code


class RealtimeClient:
    """One student's events, each once and in order, for as long as it is open.

    Args:
        url: ``ws://host/ws`` or ``wss://host/ws``.
        get_token: gives a token; True means that the one we had is refused or about to end.
        on_event: awaited for each event, in order; then the cursor is kept and acknowledged.
        on_reset: awaited with a reset frame, or with ``{"snapshot": view}`` on a first visit with ``get_snapshot``.
        get_snapshot: reads the learning view; without it the stream begins at the head.
        cursor: where to go on.
        on_cursor: told every new cursor, and None when it is void.
    """

    def __init__(
        self,
        url: str,
        get_token: Callable[[bool], Awaitable[str]],
        *,
        on_event: Callable[[Frame], Awaitable[None]] | None = None,
        on_reset: Callable[[Frame], Awaitable[None]] | None = None,
        get_snapshot: Callable[[], Awaitable[Frame]] | None = None,
        cursor: Cursor | None = None,
        on_cursor: Callable[[Cursor | None], None] = lambda _cursor: None,
        rng: random.Random | None = None,
    ) -> None:
        self._url, self._get_token, self._get_snapshot = url, get_token, get_snapshot
        self._on_event, self._on_reset, self._on_cursor = on_event, on_reset, on_cursor
        self._core = ClientCore(cursor=cursor, snapshot=get_snapshot is not None, rng=rng)
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._deliveries: asyncio.Queue[Deliver] = asyncio.Queue()
        self._recent: deque[Frame] = deque(maxlen=RECENT)
        self._changed = asyncio.Condition()
        self._code: int | None = None
        self.statuses: list[Frame] = []
        """What the server said about its doorbell, oldest first."""

    @property
    def state(self) -> str:
        """``idle``, ``connecting``, ``catching-up``, ``live``, ``waiting`` or ``stopped``."""
        return self._core.state

    @property
    def cursor(self) -> Cursor | None:
        """The last event that was handled."""
        return self._core.cursor

    async def __aenter__(self) -> Self:
        self._spawn(self._deliver())
        self._core.connect(self._now())
        self._act()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.close()
        self._act()
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ready(self, timeout_s: float = 15.0) -> None:
        """Wait until live.

        Raises:
            Stopped: it never will be.
            TimeoutError: not in time.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.state in {"live", "stopped"})
        if self.state == "stopped":
            raise Stopped(self._code)

    async def wait_for(self, test: Callable[[Frame], bool], timeout_s: float = 15.0) -> Frame:
        """The first handled event that passes ``test``, among the last ones or those to come.

        Raises:
            TimeoutError: none in time.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: any(test(event) for event in self._recent))
        return next(event for event in self._recent if test(event))

    # Carrying out what the core wants

    def _act(self) -> None:
        while actions := self._core.actions():
            for action in actions:
                self._carry_out(action)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._core.due_at is not None:
            self._timer = asyncio.get_running_loop().call_at(self._core.due_at, self._on_timer)

    def _carry_out(self, action: Action) -> None:  # noqa: C901 - one case for each action
        match action:
            case FetchToken(force):
                self._spawn(self._fetch_token(force))
            case Open(token):
                self._reader = self._spawn(self._read(token))
            case Send(text):
                if self._socket is not None:
                    self._spawn(self._send(self._socket, text))
            case Drop():
                if self._reader is not None:
                    self._reader.cancel()
                self._reader = self._socket = None
            case FetchSnapshot():
                self._spawn(self._fetch_snapshot())
            case Deliver():
                self._deliveries.put_nowait(action)
            case Save(cursor):
                self._on_cursor(cursor)
            case Become(_, code):
                self._code = code
                self._spawn(self._notify())
            case Tell("status", value):
                self.statuses.append(value)
            case Tell(kind, value):
                logger.info("%s: %s", kind, value)

    def _on_timer(self) -> None:
        self._timer = None
        # The loop's timers are a little early now and then.
        self._core.on_time(self._now() + 0.001)
        self._act()

    async def _fetch_token(self, force: bool) -> None:  # noqa: FBT001 - it is handed on
        try:
            token = await self._get_token(force)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
            self._core.on_failed(error, self._now())
        else:
            self._core.on_token(token)
        self._act()

    async def _fetch_snapshot(self) -> None:
        if self._get_snapshot is None:
            return
        try:
            view = await self._get_snapshot()
        except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
            self._core.on_failed(error, self._now())
        else:
            self._core.on_snapshot(view, self._now())
        self._act()

    async def _read(self, token: str) -> None:
        mine = asyncio.current_task()
        code = 1006
        names = [Subprotocol(SUBPROTOCOL), Subprotocol(BEARER_PREFIX + token)]
        try:
            async with connect(
                self._url, subprotocols=names, compression=None, ping_interval=None, open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0, logger=_quiet,
            ) as socket:  # fmt: skip
                self._socket = socket
                self._core.on_open()
                self._act()
                async for text in socket:
                    self._core.on_text(text, self._now())
                    self._act()
            code = socket.close_code or 1006
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
        except (OSError, TimeoutError, WebSocketException) as error:
            logger.debug("no connection: %s", type(error).__name__)
        if self._reader is mine:
            self._reader = self._socket = None
            self._core.on_closed(code, self._now())
            self._act()

    async def _send(self, socket: ClientConnection, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(text)

    async def _deliver(self) -> None:
        while True:
            delivery = await self._deliveries.get()
            if self._core.is_void(delivery.place):
                continue
            handler = self._on_event if delivery.kind == "business-event" else self._on_reset
            frame = {"snapshot": delivery.frame} if delivery.kind == "snapshot" else delivery.frame
            for attempt in range(1, TRIES + 1):
                try:
                    if handler is not None:
                        await handler(frame)
                    break
                except Exception:
                    logger.log(
                        logging.ERROR if attempt == TRIES else logging.DEBUG,
                        "a handler failed",
                        exc_info=True,
                    )
            self._core.on_handled(delivery.place, self._now())
            self._act()
            if delivery.kind == "business-event":
                self._recent.append(delivery.frame)
                await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


# On DEBUG the library shows the handshake, and the handshake holds the token.
_quiet = logging.getLogger("gateway.client.wire")
_quiet.setLevel(logging.INFO)
