"""What every operator's verb needs: a hand on the database, a voice on Redis, and the name of who does it."""

from __future__ import annotations

import logging
import os
import pwd
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from actors.doorbell import DoorbellAway, DoorbellPublisher
from actors.hand import Hand
from actors.protocol.envelope import LoggedEvent, channel, envelope_text
from actors.store.connection import Connection
from kcactors.settings import Settings, load

logger = logging.getLogger(__name__)

LOOKING = frozenset({"database", "connection", "audit", "retention"})
"""Settings of a verb that only looks."""
MENDING = LOOKING | {"redis"}
"""Settings of a verb that makes events, which screens want to hear of."""

STATEMENT_TIMEOUT_S = 120.0
AT_ONCE = 1_000


@contextmanager
def hand(settings: Settings, *, aloud: bool) -> Iterator[Hand]:
    """A hand on the database; ``aloud``: what it logs is said on Redis as well.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    limits = msgspec.structs.replace(settings.connection, statement_timeout_s=STATEMENT_TIMEOUT_S)
    with Connection(settings.database.url, "operator", limits) as connection:
        if not aloud:
            yield Hand(connection, _silently)
            return
        doorbell = DoorbellPublisher(settings.redis.url, timeout_s=settings.redis.timeout_s)
        epoch = str(connection.rows("epoch")[0][0])

        def announce(events: Sequence[LoggedEvent]) -> None:
            said = [(channel(event.student_id), envelope_text(event, epoch)) for event in events]
            try:
                for start in range(0, len(said), AT_ONCE):
                    doorbell.publish(said[start : start + AT_ONCE])
            except DoorbellAway as error:
                logger.warning("Redis is away, open screens find the events in the log: %s", error)

        try:
            yield Hand(connection, announce)
        finally:
            doorbell.close()


def settings_for(*, aloud: bool) -> Settings:
    """The settings of an operator's verb. Raises `WrongSettings`."""
    return load(needs=MENDING if aloud else LOOKING)


def whoever(name: str | None) -> str:
    """The name for the list of operators' actions: what was given, else the user of this machine."""
    if name:
        return name
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _silently(_events: Sequence[LoggedEvent]) -> None:
    """A verb that makes no events."""
