"""Named SQL: each file below ``queries/`` is one statement, called by its file's name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString

STORE = files("actors.store")


@cache
def query(name: str) -> LiteralString:
    """The statement in ``queries/<name>.sql``.

    It ships with the code and holds no caller's text, so it may be handed to the driver as a literal.
    """
    return (STORE / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def files_in_order(folder: str) -> list[Traversable]:
    """The ``.sql`` files of a folder of the store, by name."""
    return sorted((f for f in (STORE / folder).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
