"""Signs a webhook body as the provider ``kc`` does."""

from __future__ import annotations

import hmac

HEADER = "KC-Signature"


def signature(secret: str, body: bytes, at_unix_s: int) -> str:
    """The header's value: the time, and the HMAC-SHA256 of time and body."""
    digest = hmac.digest(secret.encode(), b"%d.%b" % (at_unix_s, body), "sha256")
    return f"t={at_unix_s},v1={digest.hex()}"
