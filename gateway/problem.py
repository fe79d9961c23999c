"""Errors as RFC 9457 problem documents: one class, raised anywhere below a route, rendered in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

logger = logging.getLogger(__name__)


class Problem(Exception):
    """A refusal that the caller can act on.

    Args:
        status: HTTP status.
        code: stable word for programs, in lower case with underscores.
        detail: sentence for people; it never holds a secret.
        retry_after_s: sent as ``Retry-After``.
        extra: further members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(retry_after_s)
        self.extra = dict(extra or {})

    def body(self) -> bytes:
        """The document's JSON."""
        return msgspec.json.encode(
            {
                "type": "about:blank",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                **self.extra,
            }
        )

    def response(self) -> Response:
        """The document as an answer."""
        headers = {"cache-control": "no-store", **self.headers}
        return Response(self.body(), self.status, headers, media_type="application/problem+json")


def unavailable(code: str, detail: str, *, retry_after_s: int = 2) -> Problem:
    """503: nothing was done, bring it again."""
    return Problem(503, code, detail, retry_after_s=retry_after_s)


async def on_problem(_request: Request, error: Exception) -> Response:
    """Starlette's handler for :class:`Problem`."""
    return cast("Problem", error).response()


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Routing errors (404, 405) in the same form."""
    refused = cast("HTTPException", error)
    code = HTTPStatus(refused.status_code).phrase.lower().replace(" ", "_")
    return Problem(refused.status_code, code, str(refused.detail), headers=refused.headers).response()


async def on_crash(request: Request, error: Exception) -> Response:
    """Starlette's handler for a bug."""
    return crash(f"{request.method} {request.url.path}", error).response()


def crash(asked: str, error: Exception) -> Problem:
    """A bug while answering what was ``asked``: logged with its traceback, answered without."""
    logger.error("bug while answering %s", asked, exc_info=error)
    return Problem(500, "internal_error", "This is our fault and has been logged.")
