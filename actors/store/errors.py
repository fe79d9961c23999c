"""Database errors, sorted by what the caller must do. The driver's error stays the cause."""

from __future__ import annotations

import psycopg

RETRY_WHOLE = frozenset({"40001", "40P01", "55P03", "57014"})
"""Serialization, deadlock, lock or statement timeout: the batch is as good as before, bring it again."""

GONE = frozenset({"25006", "57P01", "57P02", "57P03", "53300", "53400"})
"""This server will not do now (shut down, restarting, demoted to read-only, full): leave the connection and wait."""


class StoreError(Exception):
    """Root of the store's errors."""


class DatabaseAway(StoreError):
    """No answer was to be had, and whether the work was done is not known: reconnect, then bring all of it again."""


class Contended(StoreError):
    """Others were in the way: bring the whole batch again, after a short pause."""


class BadData(StoreError):
    """The database refuses these very values, however often they come: find the bad message and park it."""


class StoreFault(StoreError):
    """A defect of ours (missing function, wrong type): no repetition will mend it, a person must."""


def sort_error(error: psycopg.Error) -> StoreError:
    """The store's error for one of the driver's."""
    state = error.sqlstate or ""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if state in RETRY_WHOLE:
        return Contended(text)
    if state in GONE or state.startswith("08"):
        return DatabaseAway(text)
    if state[:2] in {"22", "23"}:
        return BadData(text)
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseAway(text)
    return StoreFault(f"{state} {text}".strip())
