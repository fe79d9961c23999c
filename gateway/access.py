"""Who may: bearer tokens on HTTP routes, and the Origin rule of handshakes."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import HTTPConnection

from gateway.keyring import KeysAway
from gateway.problem import Problem, unavailable
from gateway.tokens import Claims, TokenRefused, TokenVerifier

_DEFAULT_PORTS = {"http": 80, "https": 443}


async def bearer_claims(request: HTTPConnection, tokens: TokenVerifier) -> Claims:
    """The claims of the ``Authorization: Bearer`` header.

    Raises:
        Problem: 401 for a missing, invalid or expired token, 503 when it cannot be checked now.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "no_token", "Send a token as Authorization: Bearer.", headers=_challenge())
    try:
        return await tokens.verify(token.strip())
    except TokenRefused as refused:
        code = "token_expired" if refused.expired else "invalid_token"
        raise Problem(401, code, str(refused), headers=_challenge('error="invalid_token"')) from refused
    except KeysAway as away:
        raise unavailable("keys_away", str(away)) from away


async def reader_of(request: HTTPConnection, tokens: TokenVerifier, student_id: UUID) -> Claims:
    """Let the student, or an operator, read what is the student's.

    Raises:
        Problem: 401 as above, 403 for anybody else.
    """
    claims = await bearer_claims(request, tokens)
    if claims.operator or claims.student_id == str(student_id):
        return claims
    raise Problem(403, "not_yours", "This token is another student's.")


async def operator_of(request: HTTPConnection, tokens: TokenVerifier) -> Claims:
    """Let operators only.

    Raises:
        Problem: 401 as above, 403 without the operator role.
    """
    claims = await bearer_claims(request, tokens)
    if claims.operator:
        return claims
    raise Problem(403, "operators_only", "This needs the operator role.")


def origin_allowed(origin: str | None, host: str | None, allowed: Iterable[str]) -> bool:
    """Whether a handshake may go on.

    Without Origin it is no browser, and a token is needed anyway. With one it must be in the list, exactly; an empty
    list means the host that was asked.
    """
    if origin is None:
        return True
    listed = [entry.rstrip("/").lower() for entry in allowed]
    if listed:
        return origin.lower() in listed
    scheme = origin.partition("://")[0].lower()
    if not host or scheme not in {"http", "https"}:
        return False
    asked = _authority(f"{scheme}://{host}")
    return asked is not None and _authority(origin) == asked


def _authority(url: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None


def _challenge(extra: str = "") -> dict[str, str]:
    return {"www-authenticate": f"Bearer {extra}".strip()}
