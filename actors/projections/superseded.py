"""The views of a student that are out of date once the student's log has gone on.

They are filed under their place in the log, so that nobody reads them any more; taking them down only gives Redis its
memory back before they expire. That is why it is done after the place is kept, and not again when Redis is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from actors.doorbell import VIEWS, DoorbellAway, view_key

logger = logging.getLogger(__name__)

PLACES_MAX: Final = 200
"""Places before the last that are looked after; what is older has expired, or nobody read it."""
KEYS_AT_ONCE: Final = 1_000


class Passed(msgspec.Struct, frozen=True):
    """Students whose log went on: each with the place that was known and the one that is reached now."""

    epoch: str
    students: list[tuple[str, int, int]]


_passed = msgspec.json.Decoder(Passed).decode


def superseded(passed: Passed) -> list[str]:
    """Where views may be kept that are out of date now. Pure."""
    return [
        view_key(view, student_id, passed.epoch, seq)
        for student_id, known, reached in passed.students
        for seq in range(max(known, reached - PLACES_MAX), reached)
        for view in VIEWS
    ]


def taking_down(take_down: Callable[[Sequence[str]], None]) -> Callable[[str], None]:
    """What to do with the statement's answer: take the views down that it speaks of."""

    def answered(answer: str) -> None:
        keys = superseded(_passed(answer))
        try:
            for start in range(0, len(keys), KEYS_AT_ONCE):
                take_down(keys[start : start + KEYS_AT_ONCE])
        except DoorbellAway as error:
            logger.debug("views expire by themselves: %s", error)

    return answered
