"""Reading a request's body without taking more of it than is allowed."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from gateway.toolarge import BodyTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body of a request that came by a route; as :func:`whole_body`."""
    return await whole_body(request.headers, request.receive, limit)


async def whole_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The raw body.

    Raises:
        BodyTooLarge: as soon as it is, or says it is, longer than ``limit`` bytes.
        ClientDisconnect: the sender left before its end.
    """
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(limit)
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        body = body + part if body else part
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return body
