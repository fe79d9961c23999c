"""The operator's hand: the same transactions that the actors run, on a connection of its own.

It needs no node, and what the actors of one remember does not matter: the effect decides. A node's relay and allocator
take up what a hand left (outbox rows, ``requested`` allocations) like anything else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from actors.allocation.rule import Decision
from actors.allocation.transaction import allocate
from actors.ledger.batch import Verdict, decode, encode, split
from actors.messages import Deliver, Write
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Settled
from actors.protocol.payments import PaymentEvent
from actors.store.connection import Connection
from actors.store.errors import Contended
from supervision import ActorRef

TRIES = 5
T = TypeVar("T")
BATCH_MAX = 256


class Told(msgspec.Struct, frozen=True):
    """What the mending of a log did: events put back into holes, lanes that got another number, events at the end."""

    restored: list[dict[str, Any]]
    renumbered: list[dict[str, Any]]
    events: list[LoggedEvent]

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.restored or self.renumbered or self.events)


class Action(msgspec.Struct, frozen=True):
    """Who did what and why, for the list of operators' actions."""

    who: str
    command: str
    arguments: dict[str, Any]


_told = msgspec.json.Decoder(Told).decode
_events = msgspec.json.Decoder(list[LoggedEvent]).decode


class Hand:
    """See the module. For one thread.

    Args:
        announce: told of every event after its commit; must not raise.
    """

    def __init__(self, connection: Connection, announce: Callable[[Sequence[LoggedEvent]], None]) -> None:
        self.connection = connection
        self._announce = announce
        self._logged: list[LoggedEvent] = []
        self._depth = 0

    @contextlib.contextmanager
    def transaction(self, *, rehearse: bool = False) -> Iterator[None]:
        """One transaction; its events are announced once it stands. ``rehearse``: nothing of it stays.

        Raises:
            StoreError: sorted as in :mod:`actors.store.errors`; nothing was written then.
        """
        self._depth += 1
        begun = len(self._logged)
        try:
            with self.connection.transaction(rehearse=rehearse):
                yield
        except BaseException:
            del self._logged[begun:]
            raise
        finally:
            self._depth -= 1
        if rehearse:
            del self._logged[begun:]
        elif self._depth == 0 and self._logged:
            logged, self._logged = self._logged, []
            self._announce(logged)

    def apply(
        self, events: Sequence[PaymentEvent], *, via: str, parked_id: int | None = None
    ) -> list[Verdict]:
        """Bring payment events through the one transaction; a verdict for each, in no particular order."""
        writes = [_write(event, via, parked_id) for event in events]
        verdicts: list[Verdict] = []
        while writes:
            now, later = split(writes[:BATCH_MAX])
            writes = cast("list[Write]", later) + writes[BATCH_MAX:]
            with self.transaction():
                applied = decode(self.connection.text("apply", encode(now)))
                self._logged += applied.events
            verdicts += applied.verdicts
        return verdicts

    def allocate(self, purchases: Sequence[UUID]) -> list[Decision]:
        """Decide open allocations."""
        with self.transaction():
            decisions, events = allocate(self.connection, purchases)
            self._logged += events
        return decisions

    def tell_missing(self, students: Sequence[str], *, renumber: bool = False) -> Told:
        """Log what these students' purchases call for and the log does not hold."""
        with self.transaction():
            values = {"students": list(students), "renumber": renumber}
            told = _told(self.connection.rows("repair_tell_missing", values)[0][0])
            self._logged += told.events
        return told

    def resend(self, student_id: str, first: int) -> list[LoggedEvent]:
        """Send stored events again, from ``seq`` ``first`` on, with their ids and numbers."""
        with self.transaction():
            values = {"student": student_id, "first": first}
            events = _events(self.connection.rows("repair_resend", values)[0][0])
            self._logged += events
        return events

    def recount(self, trainers: Sequence[str]) -> int:
        """Set trainers' loads to the number of their allocations; how many changed."""
        with self.transaction():
            return int(self.connection.rows("repair_recount_trainers", {"trainers": list(trainers)})[0][0])

    def keep(self, action: Action, result: dict[str, Any], *, dry_run: bool = False) -> None:
        """Enter an action into the list of operators' actions."""
        values = {
            "who": action.who,
            "command": action.command,
            "arguments": msgspec.json.encode(action.arguments).decode(),
            "dry_run": dry_run,
            "result": msgspec.json.encode(result).decode(),
        }
        self.connection.run("repair_action", values)


def patiently(work: Callable[[], T]) -> T:
    """Do something again when others were in the way.

    Raises:
        Contended: they were every time.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(Contended):
            return work()
    return work()


class _Asker:
    """The source of an event that a hand brings: the verdict comes back by return."""

    def settle(self, settled: Settled) -> None:
        """Nothing to do."""


def _write(event: PaymentEvent, via: str, parked_id: int | None) -> Write:
    deliver = Deliver(event, _Asker(), via, 0.0, insist=True, parked_id=parked_id)
    # there is no student's actor to tell; the batch reads the delivery only
    return Write(deliver, cast("ActorRef[Any]", None))
