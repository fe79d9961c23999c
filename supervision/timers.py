"""Tells and calls that are due later, on the injected clock."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from supervision.clock import Clock, ManualClock
from supervision.errors import ActorDeadError, MailboxFull

logger = logging.getLogger(__name__)

COMPACT_AT = 1024
"""Cancelled timers are dropped from the heap once there are this many and they are the majority."""


class Tellable(Protocol):
    """What a timer can tell: any actor ref."""

    def tell(self, message: Any) -> None: ...


class Timer:
    """A handle for one timer."""

    __slots__ = ("_action", "_timers", "due_s", "interval_s", "target", "waits")

    def __init__(
        self,
        timers: Timers,
        due_s: float,
        interval_s: float | None,
        action: Callable[[], object],
        target: Tellable | None,
    ) -> None:
        self._timers = timers
        self._action: Callable[[], object] | None = action
        self.due_s = due_s
        self.interval_s = interval_s
        self.target = target
        self.waits = False
        """Whether it stands in the heap; set under the lock of its `Timers`."""

    @property
    def active(self) -> bool:
        return self._action is not None

    def cancel(self) -> None:
        """Never fires again; cancelling twice is fine.

        A firing already under way in another thread may still happen.
        """
        if self._action is not None:
            self._action = None
            self._timers.forget(self)

    def fire(self) -> None:
        action = self._action
        if action is not None:
            action()


class Timers:
    """All timers of one system.

    On a `ManualClock` they fire inside `advance`; otherwise one daemon thread, started with the first timer,
    fires them.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_lost: Callable[[Tellable, Any], None],
        name: str = "timers",
        threaded: bool = True,
    ) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._name = name
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._threaded = threaded and not isinstance(clock, ManualClock)
        if threaded and isinstance(clock, ManualClock):
            manual = clock
            manual.subscribe(lambda target_s: self.run_until(manual, target_s))

    def tell_after(self, delay_s: float, ref: Tellable, message: Any) -> Timer:
        """Tell `ref` once, after `delay_s` seconds."""
        return self._add(delay_s, None, lambda: self._tell(ref, message), ref)

    def tell_every(self, interval_s: float, ref: Tellable, message: Any) -> Timer:
        """Tell `ref` every `interval_s` seconds until cancelled or the actor is dead. Missed beats are skipped."""
        if interval_s <= 0:
            raise ValueError("interval_s must be positive")

        def beat() -> None:
            try:
                ref.tell(message)
            except ActorDeadError:
                timer.cancel()
            except MailboxFull:
                # The next beat says the same again.
                logger.debug("beat skipped, mailbox full: %s", ref)

        timer = self._add(interval_s, interval_s, beat, ref)
        return timer

    def call_after(self, delay_s: float, action: Callable[[], object]) -> Timer:
        """Call `action` on the timer thread: it must be quick and must not block."""
        return self._add(delay_s, None, action, None)

    def of(self, ref: Tellable) -> list[Timer]:
        """The active timers that tell `ref`."""
        with self._changed:
            return [timer for _, _, timer in self._heap if timer.target is ref and timer.active]

    def __len__(self) -> int:
        with self._changed:
            return len(self._heap) - self._cancelled

    def next_due_s(self) -> float | None:
        """When the next timer is due, in monotonic seconds."""
        with self._changed:
            self._drop_cancelled()
            return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Timer | None:
        """Take the earliest timer that is due; a repeating one is entered again."""
        with self._changed:
            self._drop_cancelled()
            if not self._heap or self._heap[0][0] > now_s:
                return None
            timer = heapq.heappop(self._heap)[2]
            timer.waits = timer.interval_s is not None
            if timer.interval_s is not None:
                beats_missed = int((now_s - timer.due_s) / timer.interval_s)
                timer.due_s += timer.interval_s * (beats_missed + 1)
                heapq.heappush(self._heap, (timer.due_s, next(self._order), timer))
            return timer

    def run_until(self, clock: ManualClock, target_s: float) -> None:
        """Fire everything due up to `target_s`, each at its own moment."""
        while (due_s := self.next_due_s()) is not None and due_s <= target_s:
            clock.move_to(due_s)
            self.fire_next(due_s)

    def fire_next(self, now_s: float) -> None:
        """Fire the earliest timer that is due, if any."""
        self._fire(self.pop_due(now_s))

    def stop(self) -> None:
        """No timer fires after this returns, except one that is firing now."""
        with self._changed:
            self._stopped = True
            for _, _, timer in self._heap:
                timer.waits = False
            self._heap.clear()
            self._cancelled = 0
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def forget(self, timer: Timer) -> None:
        """A timer was cancelled; it stays in the heap until it comes up or many have gathered."""
        with self._changed:
            if not timer.waits:
                return
            self._cancelled += 1
            if self._cancelled > COMPACT_AT and self._cancelled * 2 > len(self._heap):
                for _, _, one in self._heap:
                    one.waits = one.active
                self._heap = [entry for entry in self._heap if entry[2].waits]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def _drop_cancelled(self) -> None:
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)[2].waits = False
            self._cancelled -= 1

    def _add(
        self, delay_s: float, interval_s: float | None, action: Callable[[], object], target: Tellable | None
    ) -> Timer:
        timer = Timer(self, self._clock.monotonic() + max(0.0, delay_s), interval_s, action, target)
        with self._changed:
            if self._stopped:
                timer.cancel()
                return timer
            timer.waits = True
            heapq.heappush(self._heap, (timer.due_s, next(self._order), timer))
            if self._threaded:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                if self._heap[0][2] is timer:
                    self._changed.notify_all()
        return timer

    def _tell(self, ref: Tellable, message: Any) -> None:
        try:
            ref.tell(message)
        except (ActorDeadError, MailboxFull):
            self._on_lost(ref, message)

    def _fire(self, timer: Timer | None) -> None:
        if timer is None:
            return
        try:
            timer.fire()
        except Exception:
            logger.exception("a timer's action failed")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._drop_cancelled()
                if self._stopped:
                    return
                wait_s = self._heap[0][0] - self._clock.monotonic() if self._heap else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
            self._fire(self.pop_due(self._clock.monotonic()))
