"""The refusal of bytes that cannot become a message, sorted so that a person can mend them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BACKSLASH = ord("\\")
_NUL_ESCAPE = b"\\u0000"


class Undecodable(ValueError):
    """These bytes will never decode, however often they come: park them, keep the bytes, go on.

    Attributes:
        field: the dotted path of the first field that is wrong, or ``body`` where it is not one field's fault.
        reason: what is wrong with it, in words for the sender.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    @classmethod
    def from_validation(cls, error: msgspec.ValidationError) -> Undecodable:
        """Take msgspec's message apart into field and reason."""
        match = _PATH.match(str(error))
        what, path = (match["what"], match["path"]) if match else (str(error), None)
        missing = _MISSING.search(what)
        place = (path or "$").removeprefix("$").lstrip(".")
        if missing:
            place = f"{place}.{missing['field']}".lstrip(".")
            what = "is missing"
        elif "Invalid value" in what and not place:
            place = "type"
        return cls(place or "body", what[:1].lower() + what[1:])

    @classmethod
    def from_broken_json(cls, raw: bytes, error: msgspec.DecodeError) -> Undecodable:
        """Say why the bytes are no JSON; what a lax reader lets through (a lone surrogate) is named with its place."""
        try:
            _refuse_text(json.loads(raw), "", lambda text: "\x00" in text, "holds a NUL character")
            _refuse_text(json.loads(raw), "", _has_surrogate, "holds a lone surrogate")
        except Undecodable as named:
            return named
        except (ValueError, RecursionError):
            pass
        return cls("body", f"is no JSON: {error}")


def refuse_text_postgres_cannot_hold(raw: bytes) -> None:
    """Refuse NUL characters: jsonb refuses them for a whole batch, so that one message would fail its neighbours.

    Raises:
        Undecodable: naming the field that holds the NUL.
        UnicodeDecodeError: for bytes that are not UTF-8, in fields that the decoder skips too.
    """
    if not raw.isascii():
        raw.decode()
    # First for a single byte, which costs a tenth: 0.04 µs for each delivery in place of 0.4.
    if _BACKSLASH in raw and _NUL_ESCAPE in raw:
        _refuse_text(msgspec.json.decode(raw), "", lambda text: "\x00" in text, "holds a NUL character")


def _has_surrogate(text: str) -> bool:
    return _SURROGATE.search(text) is not None


def _refuse_text(value: object, path: str, is_bad: Callable[[str], bool], reason: str) -> None:
    if isinstance(value, str):
        if is_bad(value):
            raise Undecodable(path or "body", reason)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_text(key, f"{path}.{key!r}".lstrip("."), is_bad, reason)
            _refuse_text(inner, f"{path}.{key}".lstrip("."), is_bad, reason)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_text(inner, f"{path}[{index}]", is_bad, reason)
