"""Signs a webhook body as the provider ``kc`` does."""

from __future__ import annotations

import hmac
from hashlib import sha256

HEADER = "KC-Signature"


def signature(secret: str, body: bytes, at_unix_s: int) -> str:
    """The header's value: the time, and the HMAC-SHA256 of time and body."""
    digest = hmac.new(secret.encode(), b"%d." % at_unix_s + body, sha256).hexdigest()
    return f"t={at_unix_s},v1={digest}"
