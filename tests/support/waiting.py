"""The only way for a test to wait: for a condition, with a deadline. A test never sleeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_POLL_S = 0.01

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout_s: float = 10.0, *, what: str = "") -> T:
    """Call ``condition`` until it returns something true, and return that.

    What it returned last stands in the AssertionError that ends the wait; an AssertionError of its own counts as
    "not yet".
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last = _tried(condition)
        if last and not isinstance(last, AssertionError):
            return last
        if time.monotonic() > deadline:
            raise _too_late(condition, what, timeout_s, last)
        time.sleep(_POLL_S)


async def wait_until_async(
    condition: Callable[[], T | Awaitable[T]], timeout_s: float = 10.0, *, what: str = ""
) -> T:
    """The same on an event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        last = _tried(condition)
        if isinstance(last, Awaitable):
            last = await last
        if last and not isinstance(last, AssertionError):
            return last
        if time.monotonic() > deadline:
            raise _too_late(condition, what, timeout_s, last)
        await asyncio.sleep(_POLL_S)


def _tried(condition: Callable[[], T]) -> T | AssertionError:
    try:
        return condition()
    except AssertionError as error:
        return error


def _too_late(condition: object, what: str, timeout_s: float, last: object) -> AssertionError:
    return AssertionError(f"after {timeout_s:g} s still not: {what or condition}; last seen: {last!r}")
