"""Who is asking: JSON Web Tokens, checked with the shared secret (HS256) or the keys of a JWKS address.

The token carries the identity; no student id is ever taken from elsewhere. PyJWT does the cryptography.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import jwt
import msgspec

from gateway.keyring import Keyring

OPERATOR: Final = "operator"
SYMMETRIC: Final = ("HS256",)
ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")


class Claims(msgspec.Struct, frozen=True):
    """What a valid token says. ``expires_at`` is in Unix seconds; ``student_id`` is None for a pure operator.

    ``subject`` is the token's ``sub`` as it stands, to be written down with what an operator does.
    """

    student_id: str | None
    operator: bool
    expires_at: float
    subject: str = OPERATOR


class TokenRefused(Exception):
    """The token does not open anything. ``expired``: a fresh one from the same place will."""

    def __init__(self, detail: str, *, expired: bool = False) -> None:
        super().__init__(detail)
        self.expired = expired


class TokenVerifier:
    """Checks tokens.

    Args:
        secret: for HS256, or None.
        jwks_url: where the public keys are, or None; see :mod:`gateway.keyring`.
        audience: what ``aud`` must contain; None leaves ``aud`` unchecked.
    """

    def __init__(
        self,
        *,
        secret: str | None = None,
        jwks_url: str | None = None,
        audience: str | None = None,
        timeout_s: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if secret is None and jwks_url is None:
            raise ValueError("a token needs a secret or a JWKS address to be checked with")
        self._secret, self._audience = secret, audience
        self._keys = Keyring(jwks_url, timeout_s=timeout_s, monotonic=monotonic) if jwks_url else None
        self._jwt = jwt.PyJWT({"require": ["exp"], "verify_aud": audience is not None, "verify_sub": True})

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token.

        Raises:
            TokenRefused: malformed, forged, expired, for somebody else, or without a usable identity.
            gateway.keyring.KeysAway: the keys cannot be fetched.
        """
        try:
            key, algorithms = await self._key_for(token)
            payload = self._jwt.decode(token, key=key, algorithms=list(algorithms), audience=self._audience)
        except jwt.ExpiredSignatureError as error:
            raise TokenRefused("the token has expired", expired=True) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenRefused(f"the token is not valid: {type(error).__name__}") from error
        return _claims(payload)

    async def _key_for(self, token: str) -> tuple[Any, tuple[str, ...]]:
        if self._keys is None and self._secret is not None:
            # The usual case needs no look at the header: anything but HS256 fails below.
            return self._secret, SYMMETRIC
        header = jwt.get_unverified_header(token)
        if header.get("alg") in SYMMETRIC and self._secret is not None:
            return self._secret, SYMMETRIC
        if header.get("alg") in ASYMMETRIC and self._keys is not None:
            kid = header.get("kid")
            if not isinstance(kid, str):
                raise TokenRefused("the token names no key")
            key = await self._keys.key(kid)
            if key is None:
                raise TokenRefused("the token's key is not known")
            # Bound to the key: a header may not choose with what algorithm a key is used.
            return key.key, (key.algorithm_name,) if key.algorithm_name in ASYMMETRIC else ()
        raise TokenRefused("the token's algorithm is not accepted")


def _claims(payload: dict[str, Any]) -> Claims:
    operator = payload.get("role") == OPERATOR
    subject = payload.get("sub")
    student: str | None = None
    if isinstance(subject, str):
        try:
            student = str(UUID(subject))
        except ValueError:
            student = None
    if student is None and not operator:
        raise TokenRefused("the token's sub is not a student id")
    name = subject if isinstance(subject, str) and subject else OPERATOR
    return Claims(student_id=student, operator=operator, expires_at=float(payload["exp"]), subject=name)
