"""One reader's place in one student's log: the resume rule, the merge of replay and live, and healing in place.

Pure: it never reads, waits or looks at a clock. It says what it needs (:attr:`Feed.need`), is told what was read and
what rang, and queues what the reader gets: each ``seq`` once and in order. A ring is only a hint. What is next goes
straight through; anything else (a hole, a full queue, a head beyond ours) means: read the log from ``last`` on.
WebSocket sessions, server-sent events and long polls all stand on it.

States: *opening* (the cursor is being judged) → *reading* (catching up from the log; rings are held) → *live*.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from gateway.ports import LogPage, Ring
from gateway.resume import LogState, Position, Reset, reset_reason

HELD_MAX: Final = 64
"""Rings kept while the log is read; more are dropped, since a further read finds them."""


class Need(Enum):
    """What the feed waits for."""

    NOTHING = "nothing"
    HEAD = "head"
    PAGE = "page"
    SNAPSHOT = "snapshot"


class Event(NamedTuple):
    """A business event. ``committed_at`` is 0 for a replayed one."""

    seq: int
    text: str
    committed_at: float


class Opened(NamedTuple):
    """The cursor was judged: ``resume`` is ``none``, ``ok`` or ``reset``; ``first`` to ``last`` follow, if any."""

    resume: str
    epoch: str
    head: int
    first: int
    last: int


class CaughtUp(NamedTuple):
    """Everything up to ``seq`` has been sent; from here on it is live."""

    seq: int


class ResetTo(NamedTuple):
    """The cursor is void: start from this snapshot (JSON of the learning view), continue at ``as_of_seq + 1``."""

    epoch: str
    head: int
    reason: str
    snapshot: bytes
    as_of_seq: int


Item: TypeAlias = Event | Opened | CaughtUp | ResetTo


class Feed:
    """See the module's text.

    Args:
        replay_max: events behind after which a reader gets a snapshot; None for a reader that pages.
        queue_events, queue_bytes: past either, live events are dropped and read again later.
        on_heal: told the cause of every repair: ``gap``, ``lagging``, ``tail``, ``redis_reconnect``, ``epoch``.
    """

    __slots__ = (
        "_bytes",
        "_cause",
        "_held",
        "_hint",
        "_in_hand",
        "_judge",
        "_on_heal",
        "_opened",
        "_owes_caught_up",
        "_queue",
        "_queue_bytes",
        "_queue_events",
        "_reading",
        "_replay_max",
        "_reset",
        "_since",
        "epoch",
        "head",
        "last",
    )

    def __init__(
        self,
        *,
        replay_max: int | None,
        queue_events: int,
        queue_bytes: int,
        on_heal: Callable[[str], None] = lambda _cause: None,
    ) -> None:
        self._replay_max = replay_max
        self._queue_events, self._queue_bytes = queue_events, queue_bytes
        self._on_heal = on_heal
        self._queue: list[Item] = []
        self._bytes = 0
        self._in_hand = False
        self._held: dict[int, Ring] | None = None
        self._hint = 0
        self._since: Position | None = None
        self._judge = False
        self._opened = False
        self._owes_caught_up = False
        self._reading = False
        self._reset: Reset | None = None
        self._cause: str | None = None
        self.epoch = ""
        self.head = 0
        """The highest ``seq`` heard of."""
        self.last = 0
        """The last ``seq`` queued for the reader."""

    # What goes in

    def open(self, since: Position | None) -> None:
        """Begin with a client's cursor; None: live from the head on."""
        self._since, self._judge, self._owes_caught_up = since, True, True

    def sync(self, since: Position) -> None:
        """The client says where it is: judge that as if it had just connected."""
        self._since, self._judge, self._owes_caught_up = since, True, True

    def on_head(self, epoch: str, head: int) -> None:
        """The answer to :attr:`Need.HEAD`."""
        if not self._judge:
            return
        state = LogState(epoch, head)
        if self._since is None:
            self._judge = False
            self._adopt(epoch, head, head)
            self._announce("none")
            self._merge_held()
            self._go_on()
            return
        reason = reset_reason(self._since, state, self._replay_max)
        if reason is not None:
            self._judge = False
            self._start_reset(epoch, head, reason)
        elif self._since.seq == head:
            self._judge = False
            self._adopt(epoch, head, head)
            self._announce("ok")
            self._merge_held()
            self._go_on()
        else:
            # What is kept of the log, and so the last word on the cursor, comes with its first page.
            self._adopt(epoch, self._since.seq, head)
            self._reading = True

    def on_page(self, page: LogPage) -> None:
        """The answer to :attr:`Need.PAGE`: what follows :attr:`last`."""
        since = self._since if self._judge and self._since is not None else Position(self.epoch, self.last)
        reason = reset_reason(since, LogState(page.epoch, page.head, page.oldest), self._replay_max)
        if reason is not None:
            self._judge = False
            self._start_reset(page.epoch, page.head, reason)
            return
        # The log knows better than any ring before this read: a ring that lied must not make us read for ever.
        hint, self._hint = self._hint, 0
        self.head = max(self.last, page.head, hint)
        if self._judge:
            self._judge = False
            self._adopt(page.epoch, since.seq, page.head)
            self._announce("ok")
        if self._cause is not None and page.frames:
            self._on_heal(self._cause)
            self._cause = None
        for frame in page.frames:
            if frame.seq == self.last + 1:
                self._push(Event(frame.seq, frame.text, 0.0))
        self._merge_held()
        self._go_on()

    def on_snapshot(self, view: bytes, as_of_seq: int, epoch: str) -> None:
        """The answer to :attr:`Need.SNAPSHOT`."""
        if self._reset is None:
            return
        reason, self._reset = self._reset, None
        self._adopt(epoch, as_of_seq, max(as_of_seq, self.head if epoch == self.epoch else 0))
        self._announce("reset")
        self._queue.append(ResetTo(epoch, self.head, reason.value, view, as_of_seq))
        self._bytes += len(view)
        self._merge_held()
        self._go_on()

    def on_ring(self, ring: Ring) -> bool:
        """A doorbell. True when something is now queued or needed."""
        if self._judge or self._reading or self._reset is not None:
            self._hold(ring)
            return False
        if ring.epoch != self.epoch:
            return self._doubt_epoch()
        if ring.seq <= self.last:
            return False
        self.head = max(self.head, ring.seq)
        if ring.seq == self.last + 1:
            self._push(Event(ring.seq, ring.text, ring.committed_at))
            if len(self._queue) > self._queue_events or self._bytes > self._queue_bytes:
                self._lag()
        else:
            self._heal("gap")
        return True

    def on_tail(self, epoch: str, head: int, cause: str) -> bool:
        """The log's true head, asked for by ``cause``. True when the feed was behind and now reads."""
        if self._judge or self._reading or self._reset is not None:
            if epoch == self.epoch:
                self.head = max(self.head, head)
            return False
        if epoch != self.epoch or head < self.last:
            return self._doubt_epoch()
        if head == self.last:
            return False
        self.head = max(self.head, head)
        self._heal(cause)
        return True

    # What comes out

    @property
    def need(self) -> Need:
        """What is to be read now. A page is due only when the reader has taken everything: it sets the pace."""
        if self._reset is not None:
            return Need.SNAPSHOT
        if self._reading:
            return Need.NOTHING if self._queue or self._in_hand else Need.PAGE
        if self._judge:
            return Need.HEAD
        return Need.NOTHING

    @property
    def opened(self) -> bool:
        """Whether the cursor has been judged."""
        return self._opened

    @property
    def live(self) -> bool:
        """Whether every ring goes straight through."""
        return self._opened and not (self._judge or self._reading or self._reset is not None)

    @property
    def waiting(self) -> bool:
        """Whether something is queued."""
        return bool(self._queue)

    def take(self, limit: int = 32) -> list[Item]:
        """The next items, now in the reader's hands until :meth:`sent`."""
        items, self._queue = self._queue[:limit], self._queue[limit:]
        self._bytes -= sum(_size(item) for item in items)
        self._in_hand = bool(items)
        return items

    def sent(self) -> None:
        """What was taken is on its way."""
        self._in_hand = False

    # How

    def _adopt(self, epoch: str, last: int, head: int) -> None:
        self.epoch, self.last, self.head = epoch, last, max(last, head)

    def _announce(self, resume: str) -> None:
        if not self._opened:
            self._opened = True
            self._queue.append(Opened(resume, self.epoch, self.head, self.last + 1, self.head))

    def _push(self, event: Event) -> None:
        self._queue.append(event)
        self._bytes += len(event.text)
        self.last = event.seq

    def _go_on(self) -> None:
        self._reading = self.last < self.head
        if not self._reading:
            self._hint = 0
            self._cause = None
            if self._owes_caught_up:
                self._owes_caught_up = False
                self._queue.append(CaughtUp(self.last))

    def _start_reset(self, epoch: str, head: int, reason: Reset) -> None:
        self._reset, self._reading = reason, False
        if epoch != self.epoch:
            self.head = 0
        self.epoch, self.head, self._owes_caught_up = epoch, max(self.head, head), True
        if reason is Reset.AHEAD:
            self.head = head

    def _heal(self, cause: str) -> None:
        self._reading, self._cause = True, cause

    def _doubt_epoch(self) -> bool:
        self._since, self._judge, self._cause = Position(self.epoch, self.last), True, "epoch"
        return True

    def _hold(self, ring: Ring) -> None:
        if self._held is None:
            self._held = {}
        if len(self._held) < HELD_MAX:
            self._held[ring.seq] = ring
        if ring.epoch == self.epoch:
            self._hint = max(self._hint, ring.seq)

    def _merge_held(self) -> None:
        """Rings that came while the log was read, as far as they continue what was read."""
        held, self._held = self._held or {}, None
        while (ring := held.pop(self.last + 1, None)) is not None:
            if ring.epoch != self.epoch:
                break
            self.head = max(self.head, ring.seq)
            self._push(Event(ring.seq, ring.text, ring.committed_at))
        for seq, ring in held.items():
            if ring.epoch == self.epoch:
                self.head = max(self.head, seq)

    def _lag(self) -> None:
        """Drop what the reader has not taken; the log has it."""
        first = next((item.seq for item in self._queue if isinstance(item, Event)), None)
        if first is None:
            return
        if any(isinstance(item, CaughtUp) for item in self._queue):
            self._owes_caught_up = True
        self._queue = [item for item in self._queue if isinstance(item, Opened | ResetTo)]
        self._bytes = sum(_size(item) for item in self._queue)
        self.last = first - 1
        self._heal("lagging")


def _size(item: Item) -> int:
    if isinstance(item, Event):
        return len(item.text)
    return len(item.snapshot) if isinstance(item, ResetTo) else 0
