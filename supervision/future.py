"""The future of an ask: Pykka's, plus completion callbacks, cheap creation, and refusal of waits that cannot end."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

import pykka

from supervision.errors import Timeout

T = TypeVar("T")
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
WaitGuard = Callable[["Future[Any]", float | None], Callable[[], None] | None]

# One lock for all futures: it is held for a few instructions, and a lock (or a Condition, as in Pykka) per future
# would cost more than everything else an ask does.
_lock = threading.Lock()
_UNSET = object()


class _Waiting(threading.local):
    guard: WaitGuard | None = None


waiting = _Waiting()
"""Per thread: asked before a wait that would block. Set by dispatchers; see `BlockingAskRefused` and `AskDeadlock`."""


class Future(pykka.Future[T]):
    """A `pykka.Future` for threads that also reports completion.

    `get`, `set`, `set_exception`, `set_get_hook`, `map`, `filter`, `join`, `reduce` behave as Pykka documents.
    """

    target: object = None
    """What will set this future (the asked cell), for the wait-for graph."""

    def __init__(self) -> None:
        super().__init__()
        self._value: Any = _UNSET
        self._exc_info: ExcInfo | None = None
        self._callbacks: list[Callable[[Future[T]], None]] | None = None

    def done(self) -> bool:
        """Whether a value or an exception has been set. A future with a get hook is never done by itself."""
        return self._value is not _UNSET

    def get(self, *, timeout: float | None = None) -> Any:
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if self._value is _UNSET:
            self._wait(timeout)
            return self.get(timeout=timeout)
        if self._exc_info is not None:
            kind, value, traceback = self._exc_info
            error = value if value is not None else (kind or RuntimeError)()
            raise error.with_traceback(traceback)
        return self._value

    def _wait(self, timeout_s: float | None) -> None:
        release = waiting.guard(self, timeout_s) if waiting.guard is not None else None
        try:
            if self._value is not _UNSET:
                return
            arrived = threading.Lock()
            arrived.acquire()
            self.add_done_callback(lambda _: arrived.release())
            deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
            left_s = -1.0 if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not arrived.acquire(timeout=left_s):
                raise Timeout(f"{timeout_s} seconds")
        finally:
            if release is not None:
                release()

    def set(self, value: T | None = None) -> None:
        self._complete(value, None)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        self._complete(None, exc_info if exc_info is not None else sys.exc_info())

    def fail(self, error: BaseException) -> None:
        """Set `error` as the result."""
        self._complete(None, (type(error), error, error.__traceback__))

    def _complete(self, value: Any, exc_info: ExcInfo | None) -> None:
        with _lock:
            if self._value is not _UNSET or self._get_hook is not None:
                raise queue.Full
            self._exc_info = exc_info
            self._value = value
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        with _lock:
            if self._value is not _UNSET:
                raise queue.Full
            self._get_hook = func
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Call `callback(self)` once a result is there, in the thread that sets it, or now if it is there already.

        The callback must be quick and must not raise.
        """
        with _lock:
            if self._value is _UNSET and self._get_hook is None:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        # Pykka's own __await__ blocks the event loop (jodal/pykka#99).
        return (yield from as_asyncio(self).__await__())

    __iter__ = __await__


def as_asyncio(future: Future[T]) -> asyncio.Future[T]:
    """An asyncio future with the same result; nothing blocks the running loop.

    A future made by `map`, `filter`, `join` or `reduce` computes on demand, so it is computed in the loop's executor.
    """
    loop = asyncio.get_running_loop()
    if future._get_hook is not None:  # noqa: SLF001
        return loop.run_in_executor(None, future.get)
    result: asyncio.Future[T] = loop.create_future()

    def deliver() -> None:
        if result.done():
            return
        try:
            result.set_result(future.get(timeout=0))
        except StopIteration as stop:
            result.set_exception(RuntimeError(f"actor raised {stop!r}"))
        except BaseException as error:  # noqa: BLE001 - whatever the actor raised belongs to whoever awaits
            result.set_exception(error)

    def completed(_: Future[T]) -> None:
        try:
            loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            # The loop was closed while the actor worked: nobody is left to tell.
            return

    future.add_done_callback(completed)
    return result
