"""Names that are computed, not drawn.

A purchase, its allocation and its events get the UUIDv5 of what they are about, so that doing a thing twice makes the
same id twice and a second emission is a no-op for whoever keys on it. The database has the same function
(``kc.uuid5``) for the rare rows that are born inside a transaction; a test holds the two together.
"""

from __future__ import annotations

from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("5f2c1d0e-7a64-5b8e-9c57-6b6361637472")


_begun = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid5_text(name: str) -> str:
    """The UUIDv5 of ``name`` below our namespace, as lower-case text.

    The same value as :func:`uuid.uuid5`, without the UUID object: this runs five times for each payment.
    """
    hashed = _begun.copy()
    hashed.update(name.encode())
    digest = hashed.hexdigest()
    return (
        f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"
    )


def purchase_id(provider: str, payment_id: str) -> str:
    """The purchase that this payment makes. The length keeps ``("a", "b:c")`` and ``("a:b", "c")`` apart."""
    return uuid5_text(f"purchase:{len(provider)}:{provider}:{payment_id}")


def allocation_id(purchase: str) -> str:
    """The one allocation of a purchase."""
    return uuid5_text(f"allocation:{purchase}")


def event_id(purchase: str, event: str, turn: str = "1") -> str:
    """The event of type ``event`` about a purchase; ``turn`` tells repeated ones apart (refund id, grant number)."""
    return uuid5_text(f"event:{purchase}:{event}:{turn}")
