"""What a provider's module gives: the check of its signature, and its events in our words.

Adding a provider is adding one such module, and naming it where the roof builds the mapping from name to provider.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from actors.protocol.payments import PaymentEvent


class BadSignature(Exception):
    """The body was not signed with any of our secrets, or too long ago. Safe to tell the sender."""


class Provider(Protocol):
    """One payment provider."""

    @property
    def name(self) -> str:
        """Its name in the webhook's address and in ``(provider, payment_id)``."""
        ...

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Prove who sent these very bytes. ``now`` is Unix time in seconds.

        Raises:
            BadSignature: nobody we know.
        """
        ...

    def translate(self, headers: Mapping[str, str], body: bytes) -> PaymentEvent:
        """Read a checked body; a type that we don't act on becomes a notice.

        Raises:
            Undecodable: naming the field; the bytes are parked.
        """
        ...

    def event_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The delivery's id, if it can be read from a body that does not decode."""
        ...


class Secrets:
    """The secrets that are valid at once, ready to sign with.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # A prepared key is copied for each body: to make one looks its algorithm up in OpenSSL each time, which took
        # an eighth of the loop's CPU in a busy node.
        self._keys = [hmac.new(secret.encode(), digestmod="sha256") for secret in secrets]
        if not self._keys:
            raise ValueError("a provider without secrets is no provider")

    def signed(self, message: bytes, signatures: Iterable[str]) -> bool:
        """Whether one of the hex HMAC-SHA256 signatures was made with one of them; in constant time for each."""
        given = [signature.encode("utf-8", "replace") for signature in signatures]
        good = False
        for key in self._keys:
            signing = key.copy()
            signing.update(message)
            digest = signing.hexdigest().encode()
            for signature in given:
                good |= hmac.compare_digest(digest, signature)
        return good


def loose_text(body: bytes, *path: str) -> str | None:
    """The text at ``path`` of a JSON body that may be wrong elsewhere; None when there is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value[:255] if isinstance(value, str) and value and "\x00" not in value else None
