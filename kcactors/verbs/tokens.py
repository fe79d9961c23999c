"""``kcactors token``: mints a token with the configured secret."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt

from kcactors.exits import WrongUse
from kcactors.sections.door import Auth
from kcactors.settings import load


def mint(auth: Auth, *, student_id: uuid.UUID | None = None, operator: bool = False, ttl_s: int) -> str:
    """Signs a token (HS256) for one student or for an operator.

    Raises:
        WrongUse: the service is configured to check tokens with public keys only, so nothing can be signed here.
    """
    if auth.jwt_secret is None:
        raise WrongUse(
            "KCACTORS_JWT_SECRET is not set: with KCACTORS_JWKS_URL alone, tokens come from elsewhere"
        )
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + ttl_s}
    if student_id is not None:
        claims["sub"] = str(student_id)
    if operator:
        claims["role"] = "operator"
        claims.setdefault("sub", "operator")
    if auth.jwt_audience is not None:
        claims["aud"] = auth.jwt_audience
    return jwt.encode(claims, auth.jwt_secret, algorithm="HS256")


def token(*, student: str | None, operator: bool, ttl_s: int) -> str:
    """The verb. Exactly one of student and operator is meant.

    Raises:
        WrongUse: none or both are named, or the student id is no uuid.
    """
    if (student is None) == (not operator):
        raise WrongUse("name either --student ID or --operator")
    student_id = None
    if student is not None:
        try:
            student_id = uuid.UUID(student)
        except ValueError as error:
            raise WrongUse(f"--student: {student!r} is no uuid") from error
    return mint(load(needs=frozenset({"auth"})).auth, student_id=student_id, operator=operator, ttl_s=ttl_s)
