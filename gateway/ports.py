"""What the door needs from the rest of the house, as small protocols: the work and the roof provide them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from actors.protocol.outcome import Source
from actors.protocol.payments import PaymentEvent
from actors.protocol.undecodable import Undecodable
from actors.store.errors import Contended, DatabaseAway

READ_TROUBLE = (DatabaseAway, Contended, OSError, TimeoutError)
"""What a read raises when the database cannot answer now. Anything else is a bug."""


class LogFrame(Protocol):
    """One event of the log as it goes over the wire."""

    @property
    def seq(self) -> int: ...
    @property
    def text(self) -> str: ...


class LogPage(Protocol):
    """Events after a position, and the state of the log, from one snapshot of the database."""

    @property
    def epoch(self) -> str: ...
    @property
    def head(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    @property
    def frames(self) -> Sequence[LogFrame]: ...


class Reads(Protocol):
    """The read side. Every method may raise one of :data:`READ_TROUBLE`."""

    async def learning(self, student_id: UUID) -> bytes:
        """JSON of the learning view, ``as_of_seq`` and ``epoch`` included, from one snapshot."""

    async def home(self, student_id: UUID) -> bytes:
        """JSON of the short view."""

    async def events_after(self, student_id: UUID, after: int, limit: int) -> LogPage:
        """The first ``limit`` events with ``seq > after``."""

    async def heads(self, student_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Last ``seq`` of each; a student without events is absent or 0."""

    async def epoch(self) -> str:
        """The log's epoch."""

    async def ping(self) -> None:
        """Prove that the database answers."""


class Intake(Protocol):
    """The one way in for payment events. Thread-safe, never blocks; answers through the source, exactly once."""

    def submit(self, event: PaymentEvent, source: Source) -> None:
        """Hand an event to its student's actor."""

    def park(
        self,
        raw: bytes,
        reason: Undecodable,
        source: Source,
        *,
        provider: str,
        event_id: str | None = None,
    ) -> None:
        """Keep bytes that cannot become an event, with the reason, for a person."""


class Ring(NamedTuple):
    """A frame that rang: its place in the log, its text, and when it was committed (Unix seconds, 0: unknown)."""

    epoch: str
    seq: int
    text: str
    committed_at: float = 0.0


class ViewHead(msgspec.Struct, frozen=True):
    """The two members of a learning view that the door itself reads."""

    as_of_seq: int
    epoch: str
