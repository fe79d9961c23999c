"""Who looks and who acts: what the application around the dashboard decides, and how a refusal is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may look and act. ``expires_at`` is when the token ends, in Unix seconds."""

    name: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that an operator did, for the record: ``command`` is two words such as ``actor suspend``."""

    who: str
    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


Verify = Callable[[str], Awaitable[Operator]]
"""``await verify(token)``: the operator of a bearer token. Raises :class:`Refused` with 401, 403 or 503."""
Audit = Callable[[Deed], Awaitable[None]]
"""``await audit(deed)``: write it down. May raise; the deed is done, and the answer says that it is not recorded."""


class Refused(Exception):
    """A refusal as a problem document (RFC 9457): a status, a stable word and a sentence."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The problem document."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        headers = {"cache-control": "no-store", **self.headers}
        return Response(
            msgspec.json.encode(body), self.status, headers, media_type="application/problem+json"
        )


def answering(handler: Handler) -> Handler:
    """Turn refusals into answers, whatever application the route stands in."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.response()

    return answer


async def bearer(request: Request, verify: Verify) -> Operator:
    """The operator of the ``Authorization`` header. Raises :class:`Refused`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(
            401, "no_token", "Send a token as Authorization: Bearer.", headers={"www-authenticate": "Bearer"}
        )
    return await verify(token.strip())


async def record(audit: Audit, deed: Deed) -> bool:
    """Write a deed down; False when that failed. An operator must be able to act while the record cannot be written."""
    try:
        await audit(deed)
    except Exception:
        logger.exception(
            "an operator's deed was not recorded: %s %s by %s", deed.command, deed.arguments, deed.who
        )
        return False
    return True
