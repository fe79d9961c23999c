"""Settings of the door: who may read, which providers may call, where it is. Its limits are the gateway's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from msgspec import Meta

from kcactors.environment import PREFIX, Group, Problem


class Auth(Group, frozen=True, kw_only=True):
    """Who may read what: JSON Web Tokens, made by the platform or by ``kcactors token``."""

    jwt_secret: Annotated[
        str | None,
        Meta(
            description="for HS256",
            extra={"secret": True, "expected": "a secret text, 32 characters or more"},
        ),
    ] = None
    jwks_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://.+")] | None,
        Meta(
            description="keys for RS256, ES256 and EdDSA",
            extra={"expected": "an http(s) address"},
        ),
    ] = None
    jwt_audience: Annotated[str | None, Meta(description="checked when set")] = None

    def clashes(self) -> Iterator[Problem]:
        """One of the two ways to check a token must be there."""
        if not self.jwt_secret and not self.jwks_url:
            yield Problem(
                f"{PREFIX}JWT_SECRET", f"is not set, expected a secret text, or {PREFIX}JWKS_URL instead"
            )


Secrets: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(
        description="several valid at once; without any, the provider is unknown here (404)",
        extra={"secret": True, "expected": "secrets separated by commas"},
    ),
]


class Webhook(Group, frozen=True, kw_only=True):
    """Payment providers that call us."""

    secrets_razorpay: Secrets = ()
    secrets_stripe: Secrets = ()
    secrets_kc: Secrets = ()

    def by_provider(self) -> dict[str, tuple[str, ...]]:
        """The secrets of each provider that has any."""
        named = {"razorpay": self.secrets_razorpay, "stripe": self.secrets_stripe, "kc": self.secrets_kc}
        return {provider: secrets for provider, secrets in named.items() if secrets}


class Http(Group, frozen=True, kw_only=True):
    """Where the door is and whose pages may use it; its limits are `gateway.limits.GatewayLimits`."""

    port: Annotated[
        int, Meta(ge=0, le=65_535, description="of HTTP and WebSocket", extra={"env": "PORT"})
    ] = 8000
    allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+$")], ...],
        Meta(
            description="browsers' origins that may open a WebSocket; none: only its own host",
            extra={
                "env": f"{PREFIX}ALLOWED_ORIGINS",
                "expected": "origins such as https://app.example.org, separated by commas",
            },
        ),
    ] = ()

    dev_checkout: Annotated[
        bool, Meta(description="a checkout button on the learning page, for development only")
    ] = False
