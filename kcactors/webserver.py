"""uvicorn, as a node runs it: its settings, and a WebSocket that leaves nothing for the garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.app import Gateway
from gateway.limits import GatewayLimits
from gateway.serving import uvicorn_options
from kcactors.wholewebhooks import WholeWebhooks


class TidyWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, freed by reference counts when its connection ends.

    The parser below it is a generator whose frame holds the parser's owner, and the HTTP protocol that took the
    upgrade and its parser hold each other. A node keeps what lives long out of the
    collector's sight (`supervision.Collector`), so such a circle of a session that ended would never be freed; and
    without that, full collections took half of the CPU of a storm of reconnects (bench, group gateway).
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Taken over from the HTTP protocol, which is done with its parser."""
        before = cast("asyncio.Transport", transport).get_protocol()
        if isinstance(before, HttpToolsProtocol):
            before.parser = None  # type: ignore[assignment]  # as uvicorn itself does
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended, by whichever side."""
        super().connection_lost(exc)
        self.conn.parser.close()


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the node says goodbye to sessions before the server may stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_config(app: ASGIApp, limits: GatewayLimits, **changes: Any) -> uvicorn.Config:
    """How the gateway is served; ``changes`` are arguments of ``uvicorn.Config``."""
    entrances = app.entrances if isinstance(app, Gateway) else {}
    http = partial(WholeWebhooks, {path.encode(): entrance for path, entrance in entrances.items()})
    options = uvicorn_options(limits) | {"http": http, "ws": TidyWebSocket} | changes
    return uvicorn.Config(app, log_config=None, **options)
