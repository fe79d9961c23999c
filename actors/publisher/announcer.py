"""The announcer: own thread, own Redis connection. It says on each student's channel what a commit has just logged.

It is the quick way to the screen and promises nothing: what it drops while Redis is away is in the log, and sessions
find it there. So it never makes anybody wait and never repeats itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from actors.doorbell import DoorbellAway, DoorbellPublisher
from actors.protocol.envelope import LoggedEvent, channel, envelope_text
from supervision import Actor, ActorDeadError, ActorRef, MailboxFull

logger = logging.getLogger(__name__)

SILENCE_S = 1.0
"""How long nothing is tried after Redis did not answer: each try may cost the client's whole timeout."""


class Measure(Protocol):
    """What the publishing actors report of each event and sink."""

    def published(self, sink: str, events: Sequence[LoggedEvent], result: str) -> None:
        """These events reached the sink (``ok``), or were dropped or refused."""


class Announcer(Actor):
    """See the module.

    Args:
        epoch: of the log, part of every envelope.
        before: called with the students of a batch before it is announced, to drop what has become stale.
        on_state: told whether Redis answers.
    """

    dispatcher: ClassVar[str] = "pinned"
    batch_max: ClassVar[int] = 256
    mailbox_limit: ClassVar[int | None] = 4_096

    def __init__(
        self,
        doorbell: DoorbellPublisher,
        epoch: str,
        measure: Measure,
        on_state: Callable[[bool], None],
        before: Callable[[Sequence[LoggedEvent]], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._doorbell = doorbell
        self._epoch = epoch
        self._measure = measure
        self._on_state = on_state
        self._before = before
        self._silent_until_s = 0.0

    def on_stop(self) -> None:
        """Leave Redis."""
        self._doorbell.close()

    def on_batch(self, messages: list[Sequence[LoggedEvent]]) -> None:
        """Announce everything that queued, in one round trip."""
        events = [event for batch in messages for event in batch]
        now_s = self.context.clock.monotonic()
        if now_s < self._silent_until_s:
            self._measure.published("redis", events, "dropped")
            return
        try:
            self._before(events)
            self._doorbell.publish([(channel(e.student_id), envelope_text(e, self._epoch)) for e in events])
        except DoorbellAway as error:
            self._silent_until_s = now_s + SILENCE_S
            self._on_state(False)  # noqa: FBT003 - the fact itself
            self._measure.published("redis", events, "dropped")
            logger.warning("Redis is away, %d events go by the log only: %s", len(events), error)
        else:
            self._on_state(True)  # noqa: FBT003 - the fact itself
            self._measure.published("redis", events, "ok")


def announcing(announcer: ActorRef[Any]) -> Callable[[Sequence[LoggedEvent]], None]:
    """A function for the ledgers: hand events over, and drop them where the announcer cannot keep up or is gone."""

    def announce(events: Sequence[LoggedEvent]) -> None:
        try:
            announcer.tell(events)
        except (MailboxFull, ActorDeadError):
            return

    return announce
