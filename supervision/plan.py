"""What a supervisor does next, as a pure function of where its children are.

The supervisor looks again after every event, so overlapping failures, stops and restarts need no queue and no order of
their own: downs come first, one at a time from the last child to the first; then ups, from the first to the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from supervision.spec import Strategy


class Place(StrEnum):
    """Where one child is."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    GOING_DOWN = "going_down"
    CLOSED = "closed"


class Phase(StrEnum):
    """What the whole family is doing."""

    STARTING = "starting"
    UP = "up"
    HALTING = "halting"
    CLOSING = "closing"


class Member(Protocol):
    """What the plan needs to know of a child."""

    place: Place
    recycle: bool
    """Must go down, and come up again, because of a sibling."""
    not_before_s: float
    """Backoff: the earliest moment of its next start."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do now. `index` counts children in start order."""

    verb: Literal["start", "halt", "close"]
    index: int


def affected_by(strategy: Strategy, index: int, count: int) -> range:
    """Whom the failure of child `index` takes down with it, itself included."""
    if strategy == "one_for_all":
        return range(count)
    if strategy == "rest_for_one":
        return range(index, count)
    return range(index, index + 1)


def next_steps(members: Sequence[Member], strategy: Strategy, phase: Phase, now_s: float) -> list[Step]:
    """The steps to take now; empty when there is nothing to do but wait for the next event."""
    if phase in (Phase.HALTING, Phase.CLOSING):
        return _one_down(members, phase)
    for index in reversed(range(len(members))):
        member = members[index]
        if not member.recycle or member.place in (Place.DOWN, Place.CLOSED):
            continue
        # Starting ones are waited for: a behaviour half way through on_start cannot be told to stop.
        return [Step("halt", index)] if member.place is Place.UP else []
    in_order = strategy != "one_for_one" or phase is Phase.STARTING
    steps: list[Step] = []
    for index, member in enumerate(members):
        ready = member.place is Place.DOWN and member.not_before_s <= now_s
        if ready:
            steps.append(Step("start", index))
        if in_order and member.place not in (Place.UP, Place.CLOSED):
            break
    return steps


def _one_down(members: Sequence[Member], phase: Phase) -> list[Step]:
    done = (Place.CLOSED,) if phase is Phase.CLOSING else (Place.CLOSED, Place.DOWN)
    for index in reversed(range(len(members))):
        place = members[index].place
        if place in done:
            continue
        if place is not Place.GOING_DOWN:
            return [Step("close" if phase is Phase.CLOSING else "halt", index)]
        return []
    return []


def is_settled(members: Sequence[Member], phase: Phase) -> bool:
    """Whether a phase has reached its end: all up, all halted, or all closed."""
    if phase is Phase.CLOSING:
        return all(member.place is Place.CLOSED for member in members)
    if phase is Phase.HALTING:
        return all(member.place in (Place.CLOSED, Place.DOWN) for member in members)
    return all(member.place in (Place.UP, Place.CLOSED) for member in members)
