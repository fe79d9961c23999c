"""What the providers' modules share: from a provider's words to one of our events, or to a refusal in those words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from actors.protocol.payments import PaymentEvent, PaymentNoticed, PaymentSucceeded, PaymentUnnamed
from actors.protocol.undecodable import Undecodable

NAMES: Final = ("student_id", "course_id", "tier")
"""What our shop writes into a payment when it makes one (Razorpay: notes, Stripe: metadata): who buys what."""

Names = dict[str, Any] | list[Any]
"""Razorpay sends an empty list where there are none: its side has one type for both."""

_Shape = TypeVar("_Shape")
_Event = TypeVar("_Event", bound=PaymentEvent)


def read(body: bytes | msgspec.Raw, shape: type[_Shape], place: str = "") -> _Shape:
    """Decode what a provider sent, as far as ``shape`` asks for it; ``place`` is where in the body it stands.

    Raises:
        Undecodable: naming the first field that is missing or wrong.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        reason = Undecodable.from_validation(error)
        raise Undecodable(f"{place}.{reason.field}".lstrip("."), reason.reason) from error
    except msgspec.DecodeError as error:
        raise Undecodable.from_broken_json(bytes(body), error) from error
    except UnicodeDecodeError as error:
        raise Undecodable("body", f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise Undecodable("body", "is nested too deeply") from error


def event(kind: type[_Event], places: Mapping[str, str], /, **fields: Any) -> _Event:
    """One of our events from a provider's values; numbers may be text, absent values are ``None``.

    Raises:
        Undecodable: naming the field by its place in the provider's body.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    for name, value in given.items():
        # Only what we ask for: elsewhere in their body a NUL is theirs to keep.
        if isinstance(value, str) and "\x00" in value:
            raise Undecodable(places.get(name, name), "holds a NUL character")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        reason = Undecodable.from_validation(error)
        raise Undecodable(places.get(reason.field, reason.field), reason.reason) from error


def purchase(
    names: dict[str, Any], place: str, body: bytes, /, **fields: Any
) -> PaymentSucceeded | PaymentUnnamed:
    """A captured payment for whom and what ``names`` say, which stand at ``place`` of ``body``; else an unnamed one."""
    places = {name: f"{place}.{name}" for name in NAMES}
    try:
        return event(PaymentSucceeded, places, **fields, **{name: names.get(name) for name in NAMES})
    except Undecodable as reason:
        if reason.field not in places.values():
            raise
        known = {
            name: fields.get(name) for name in ("event_id", "provider", "payment_id", "order_id", "amount")
        }
        return event(
            PaymentUnnamed,
            {},
            **known,
            student_id=student_of(names),
            field=reason.field,
            reason=reason.reason,
            body=body,
        )


def notice(*, event_id: str, provider: str, name: str, **known: Any) -> PaymentNoticed:
    """What no purchase follows from; ``known`` are other fields of `PaymentNoticed`, as far as there are any."""
    return event(PaymentNoticed, {}, event_id=event_id, provider=provider, name=name, **known)


def our_names(sources: Mapping[str, Names]) -> tuple[str, dict[str, Any]]:
    """Of what stands at these places, the first in which our shop wrote all, or else something; and where it is."""
    written = [(place, names) for place, names in sources.items() if isinstance(names, dict)]
    for enough in (all, any):
        for place, names in written:
            if enough(name in names for name in NAMES):
                return place, names
    return next(iter(sources)), {}


def student_of(names: dict[str, Any]) -> UUID | None:
    """Whose payment it is, if that can be read: for what follows a payment it need not be, the purchase knows."""
    try:
        return UUID(names["student_id"])
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def moment(seconds: int) -> datetime:
    """A provider's Unix time.

    Raises:
        Undecodable: no calendar holds it.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Undecodable("created_at", f"{seconds} is no Unix time") from error
