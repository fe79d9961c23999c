"""What the in-memory broker's process and its owner say to each other: one JSON line each way."""

from __future__ import annotations

from typing import Any

import msgspec


class Command(msgspec.Struct):
    """A method of the cluster that the broker lets its owner call, and its arguments in order."""

    verb: str
    args: list[Any] = []


class Answer(msgspec.Struct, omit_defaults=True):
    """``bootstrap`` in the greeting; ``refused`` says why a command did nothing."""

    bootstrap: str = ""
    refused: str | None = None
