"""Headers that every answer carries, so that no route can forget them."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
STRICT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""For answers that are no page: should one ever be shown as a page, it can do nothing."""
SAFE_HEADERS: Final = tuple(
    (name.encode(), value.encode())
    for name, value in (ALWAYS | {"content-security-policy": STRICT_POLICY}).items()
)
"""The same in ASGI's form, for what answers without :class:`SafeHeaders` around it."""


class SafeHeaders:
    """Adds :data:`ALWAYS`, and :data:`STRICT_POLICY` where a route has not set its own policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", STRICT_POLICY)
            await send(message)

        await self._app(scope, receive, guarded)
