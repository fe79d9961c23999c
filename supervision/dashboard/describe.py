"""Messages in a line, for people. Only operators see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

TEXT_MAX: Final = 240


def describe(message: Any) -> str:
    """The type of a message and the beginning of what is in it; for a batch, how many of what."""
    if isinstance(message, list):
        return _batch(message)
    kind = type(message).__name__
    try:
        text = repr(message)
    except Exception as error:  # noqa: BLE001 - whatever the message's own repr does, the page must show
        return f"{kind} (its repr fails: {type(error).__name__})"
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}… ({len(text)} characters)"


def _batch(messages: Sequence[Any]) -> str:
    kinds = sorted({type(message).__name__ for message in messages})
    return f"a batch of {len(messages)}: {', '.join(kinds)}"
