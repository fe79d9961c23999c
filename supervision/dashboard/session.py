"""The page's session: an operator's token, exchanged once for a cookie and a token against forged requests.

Nothing is stored: the cookie carries who it is for and until when, signed with a key that all nodes share, so that any
of them can serve the next request. The second token is made from the cookie and sent back in a header, which another
site can neither read nor set.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervision.dashboard.access import Operator, Refused

COOKIE: Final = "kc_supervision"
CSRF_HEADER: Final = "x-csrf-token"
SESSION_MAX_S: Final = 12 * 3600.0
"""No session outlives this, however long the token does."""


class _Claim(msgspec.Struct, frozen=True, array_like=True):
    who: str
    expires_at: float
    salt: str


class Sessions:
    """Makes and checks session cookies.

    Args:
        key: the shared secret.
        path: the only path below which the cookie is sent.
    """

    def __init__(self, key: bytes, path: str) -> None:
        self._key = key
        self._path = path

    def open(self, response: Response, operator: Operator, now: float, *, secure: bool) -> str:
        """Put the cookie into the response; the token against forged requests."""
        expires_at = min(operator.expires_at, now + SESSION_MAX_S)
        claim = msgspec.json.encode(_Claim(operator.name, expires_at, secrets.token_urlsafe(9)))
        text = base64.urlsafe_b64encode(claim).decode().rstrip("=")
        value = f"{text}.{self._sign('session', text)}"
        response.set_cookie(
            COOKIE,
            value,
            max_age=max(1, int(expires_at - now)),
            path=self._path,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return self._sign("csrf", value)

    def close(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(COOKIE, path=self._path, httponly=True, samesite="strict")

    def operator(self, request: Request, now: float) -> Operator | None:
        """Whose session the request belongs to, if any."""
        value = request.cookies.get(COOKIE, "")
        text, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", text).encode()):
            return None
        try:
            claim = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Claim)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            return None
        return Operator(claim.who, claim.expires_at) if claim.expires_at > now else None

    def csrf(self, request: Request) -> str:
        """The token that belongs to the request's cookie."""
        return self._sign("csrf", request.cookies.get(COOKIE, ""))

    def require(self, request: Request, now: float) -> Operator:
        """The operator of the session. Raises :class:`Refused` (401)."""
        operator = self.operator(request, now)
        if operator is None:
            raise Refused(401, "no_session", "Sign in again: there is no session, or it has ended.")
        return operator

    def require_own_request(self, request: Request) -> None:
        """Refuse (403) what did not come from our own page."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refused(403, "foreign_request", "This may only be asked for by the dashboard's own pages.")
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), self.csrf(request).encode()):
            raise Refused(403, "csrf", "The request does not carry the session's token.")

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
