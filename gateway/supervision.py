"""The supervision dashboard at this door: who may look, where deeds are written down, and the panels about payments."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute

from actors.store.overview import Overview
from gateway.keyring import KeysAway
from gateway.tokens import TokenRefused, TokenVerifier
from supervision import System
from supervision.dashboard import Dashboard, Deed, Deps, Operator, Page, Refused

PAGES = "/supervision"
JSON = "/api/v1/supervision"


@dataclass(frozen=True, kw_only=True)
class SupervisionDeps:
    """What the dashboard of a node is given.

    Args:
        secret: what the key of page sessions is made from; the same on every node.
        panels: pages about payments, in the order of the menu.
    """

    system: System
    node: str
    tokens: TokenVerifier
    overview: Overview
    secret: bytes
    panels: Sequence[Page] = ()


def session_key(secret: bytes) -> bytes:
    """A key of its own, so that a session's signature says nothing about tokens."""
    return hmac.new(secret, b"kcactors supervision session", hashlib.sha256).digest()


def dashboard_of(deps: SupervisionDeps) -> Dashboard:
    """The dashboard of a node."""

    async def verify(token: str) -> Operator:
        return await operator_by(token, deps.tokens)

    async def audit(deed: Deed) -> None:
        await deps.overview.record(deed.who, deed.command, deed.arguments, {"node": deps.node, **deed.result})

    return Dashboard(
        Deps(
            system=deps.system,
            node=deps.node,
            verify=verify,
            audit=audit,
            session_key=session_key(deps.secret),
            panels=deps.panels,
        )
    )


async def operator_by(token: str, tokens: TokenVerifier) -> Operator:
    """The operator of a token.

    Raises:
        Refused: 401 for a token that opens nothing, 403 without the operator role, 503 when it cannot be checked now.
    """
    try:
        claims = await tokens.verify(token)
    except TokenRefused as refused:
        code = "token_expired" if refused.expired else "invalid_token"
        challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
        raise Refused(401, code, str(refused), headers=challenge) from refused
    except KeysAway as away:
        raise Refused(503, "keys_away", str(away), headers={"retry-after": "2"}) from away
    if not claims.operator:
        raise Refused(403, "operators_only", "This needs the operator role.")
    return Operator(claims.subject, claims.expires_at)


def routes_of(dashboard: Dashboard) -> list[BaseRoute]:
    """Pages and JSON at their fixed addresses."""
    return [*dashboard.pages(PAGES), *dashboard.api(JSON)]
