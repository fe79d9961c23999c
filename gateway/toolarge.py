"""A body that is too long: refused before it is read whole, in a way that the refusal arrives."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.problem import Problem

LINGER_BYTES: Final = 4 * 1024 * 1024
LINGER_S: Final = 2.0


class BodyTooLarge(Problem):
    """413, for a body longer than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        detail = f"The body may have {limit} bytes."
        super().__init__(413, "body_too_large", detail, headers={"connection": "close"})

    def response(self) -> Response:
        """The document; what the sender is still sending is taken and thrown away for a while."""
        refusal = super().response()
        return _Lingering(refusal.body, refusal.status_code, dict(refusal.headers))


class _Lingering(Response):
    """Answers at once and closes later.

    To close a connection with unread bytes resets it, and the sender loses the answer: most clients send their whole
    body before they look.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hold(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "more_body": True} if is_body else message)

        await super().__call__(scope, receive, hold)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await _throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _throw_away(receive: Receive) -> None:
    taken = 0
    while taken <= LINGER_BYTES:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        taken += len(message.get("body", b""))
