"""Everything that stays when an actor is restarted: place in the tree, counters, what is known of its troubles."""

from __future__ import annotations

import threading
import uuid
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

import pykka

from supervision.dispatcher import Dispatcher
from supervision.failure import Failure
from supervision.mailbox import Item, Mailbox
from supervision.runtime import INTERNAL, Runtime
from supervision.spec import ChildSpec
from supervision.vitals import Incident

INCIDENTS_KEPT = 32
"""How many incidents each actor remembers."""
TRACES_KEPT = 4
"""The newest of them with their tracebacks, which are the larger part of what is remembered."""
NOTICED_S = 3600.0
"""For how long an actor with an incident stays among those worth a look."""


class State(StrEnum):
    """Where the behaviour is in its life; see `supervision.lifecycle`."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    HALTED = "halted"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Pill:
    """The tail mark of a draining stop or halt: everything before it is handled first."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action


class Trouble:
    """What only some cells ever need, so that the others don't pay for it."""

    __slots__ = (
        "attempts",
        "away",
        "dead",
        "drain",
        "failure",
        "failures",
        "head",
        "held",
        "incidents",
        "parked",
        "restarts",
        "singles",
        "stash",
    )

    def __init__(self) -> None:
        self.restarts = 0
        self.failures = 0
        self.dead = 0
        self.parked = 0
        self.head: Item | None = None
        """The message that failed last, and how often in a row."""
        self.attempts = 0
        self.failure: Failure | None = None
        self.singles = 0
        """How many messages still to hand out one by one after a batch failed."""
        self.drain: Pill | None = None
        self.held = False
        """The drain has handled what was queued and waits until the actor is idle."""
        self.away = False
        """What it depends on did not answer, and no message was handled since."""
        self.stash: deque[Item] | None = None
        self.incidents: deque[Incident] = deque(maxlen=INCIDENTS_KEPT)

    def remember(self, incident: Incident) -> None:
        """Keep it; of older ones the tracebacks go."""
        self.incidents.append(incident)
        if not incident.trace:
            return
        traced = [at for at, one in enumerate(self.incidents) if one.trace]
        for at in traced[:-TRACES_KEPT]:
            self.incidents[at] = replace(self.incidents[at], trace="")


@dataclass(frozen=True, slots=True)
class Summary:
    """Some children to show, and figures about all of them."""

    shown: Sequence[CellState]
    totals: dict[str, Any]


class Family(Protocol):
    """The children of a cell: what the cell asks of them, and what they report.

    Always called in the cell's own turn.
    """

    def begin(self) -> bool:
        """Start what is declared; True when there is nothing to wait for, else the cell is told later."""
        ...

    def take_down(self, *, close: bool, then: Callable[[], None]) -> None:
        """Halt or close every child in reverse order, then call `then` in the cell's turn."""
        ...

    def members(self) -> list[Any]:
        """The cells of the children in order of their start."""
        ...

    def find(self, name: str) -> Any | None:
        """The cell of the child of that name."""
        ...

    def restart_child(self, name: str) -> None:
        """Rebuild one child on an operator's word."""
        ...

    def summary(self, limit: int) -> Summary:
        """At most `limit` children to show, the noticeable ones where there are more."""
        ...

    def child_started(self, cell: Any, order: int) -> None: ...
    def child_failed(self, cell: Any, order: int, failure: Failure) -> None: ...
    def child_halted(self, cell: Any, order: int) -> None: ...
    def child_closed(self, cell: Any, reason: str) -> None: ...


class CellState(Mailbox):
    """The fields of a cell and what can be read from them."""

    __slots__ = (
        "__weakref__",
        "_stopped_event",
        "_urn",
        "active_s",
        "actor_class",
        "batch_max",
        "behaviour",
        "current",
        "dispatcher",
        "dispatcher_kind",
        "family",
        "handled",
        "kept_ref",
        "lane_waits",
        "name",
        "obeyed",
        "ordered",
        "parent",
        "rests",
        "runtime",
        "spec",
        "state",
        "stopping_replies",
        "suspended",
        "trouble",
        "waits_for",
        "watchers",
    )

    def __init__(self, runtime: Runtime, spec: ChildSpec, parent: CellState | None) -> None:
        super().__init__(runtime.now, spec.mailbox_limit)
        self.runtime = runtime
        self.spec = spec
        self.name = spec.name
        self.parent = parent
        # Until the first behaviour says where it wants to live; `__init__` runs here.
        self.dispatcher_kind = INTERNAL
        self.dispatcher: Dispatcher = runtime.dispatcher(INTERNAL, spec.name)
        self.behaviour: Any = None
        self.actor_class: type[Any] = pykka.Actor
        self.batch_max = 1
        self.family: Family | None = None
        self.state = State.NEW
        self.suspended = False
        self.lane_waits = False
        self.rests = False
        self.current: Item | None = None
        self.handled = 0
        self.active_s = 0.0
        self.trouble: Trouble | None = None
        self.watchers: list[Callable[[str], None]] | None = None
        self.stopping_replies: list[pykka.Future[Any]] | None = None
        self.ordered = 0
        """How many orders its supervisor has given; only the newest counts. Written in the supervisor's turns."""
        self.obeyed = 0
        """The order it acted on last; its reports carry it, so that the supervisor knows old ones."""
        self.waits_for: Any = None
        self.kept_ref: Any = None
        self._urn: str | None = None
        self._stopped_event: threading.Event | None = None

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.path})"

    @property
    def path(self) -> str:
        """Names from below the root, "core/ledger-0"; the root itself is "/"."""
        if self.parent is None:
            return "/" if self.spec.restart == "permanent" else self.name
        above = self.parent.path
        return self.name if above == "/" else f"{above}/{self.name}"

    @property
    def urn(self) -> str:
        if self._urn is None:
            self._urn = uuid.uuid4().urn
        return self._urn

    @property
    def stopped_event(self) -> threading.Event:
        """Pykka's `actor_stopped`, made when somebody asks: it would be the largest part of an idle actor."""
        with self.lock:
            if self._stopped_event is None:
                self._stopped_event = threading.Event()
                if self.closed:
                    self._stopped_event.set()
            return self._stopped_event

    @property
    def stashed(self) -> int:
        trouble = self.trouble
        return len(trouble.stash) if trouble is not None and trouble.stash is not None else 0

    @property
    def restarts(self) -> int:
        return self.trouble.restarts if self.trouble is not None else 0

    def oldest_s(self) -> float:
        """Age in seconds of the oldest message, the one in hand included: a stuck actor's queue may be empty."""
        item = self.current
        in_hand_s = self.now() - item[2] if item is not None else 0.0
        return max(in_hand_s, super().oldest_s())

    def troubled(self) -> Trouble:
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble

    def note(self, kind: str, detail: str = "", error: BaseException | None = None) -> None:
        """Remember an incident here and in the vitals."""
        happened = self.runtime.vitals.incident(self.path, self.actor_class.__name__, kind, detail, error)
        self.troubled().remember(happened)
        if not self.closed:
            self.runtime.noticed[self] = None

    def announce(self, kind: str, detail: str = "") -> None:
        """Tell of something that is no trouble: nothing to remember here, nothing that makes the actor noticeable."""
        self.runtime.vitals.incident(self.path, self.actor_class.__name__, kind, detail)

    def is_noticeable(self) -> bool:
        """Whether messages wait, or something happened lately."""
        if self.queue or self.trouble is None:
            return bool(self.queue)
        incidents = self.trouble.incidents
        return bool(incidents) and self.now() - incidents[-1].at_s < NOTICED_S

    def schedule(self) -> None:
        self.dispatcher.schedule(self)

    def turn(self, worker: Any) -> None:
        raise NotImplementedError

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher(reason)` when this cell is gone, or now if it is gone already."""
        with self.lock:
            if not self.closed:
                if self.watchers is None:
                    self.watchers = []
                self.watchers.append(watcher)
                return
        watcher("gone")

    def reopen(self) -> None:
        """Handle user messages if every condition for it holds."""
        waits = self.suspended or self.lane_waits or self.rests
        self.set_open(self.state is State.RUNNING and not waits)

    def order(self, action: Callable[[], None]) -> bool:
        """Tell the cell to start, halt or stop, from its supervisor's turn. Orders it has not obeyed yet are void."""
        self.ordered += 1
        return self.remind(action)

    def remind(self, action: Callable[[], None]) -> bool:
        """Give the newest order again, perhaps in sharper words."""
        number = self.ordered

        def obey() -> None:
            if self.ordered == number:
                self.obeyed = number
                action()

        return self.post(obey)

    def report(self, send: Callable[[Family], None]) -> None:
        """Tell the family above, in its turn."""
        above = self.parent
        if above is not None and above.family is not None:
            family = above.family
            above.post(lambda: send(family))

    @abstractmethod
    def started(self) -> None:
        """The declared children are up, so the cell is."""

    @abstractmethod
    def crash(self, failure: Failure) -> None:
        """The behaviour is not to be trusted any more."""
