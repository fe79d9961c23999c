"""The rule of allocation: the student's own trainer on a renewal, else the least loaded with room, else the waitlist.

Pure and total: it sees what is locked and decides for all at once. Those who waited come before those who just came,
and nobody passes a waiting list: where others wait for a course, a newcomer joins them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from actors.protocol import ids


class Request(msgspec.Struct, frozen=True):
    """An allocation without trainer. ``turn`` counts what has been told about it so far.

    Ids are lower-case text everywhere here: to hash and compare UUID objects was a quarter of an allocation's Python.
    """

    purchase_id: str
    allocation_id: str
    student_id: str
    course_id: str
    payment_id: str
    tier: int
    waiting: bool
    turn: int
    own_trainer_id: str | None


class Trainer(msgspec.Struct, frozen=True):
    """A trainer's room: ``load`` of ``capacity`` places are taken. ``courses`` are those in question."""

    trainer_id: str
    name: str
    capacity: int
    load: int
    courses: list[str]


class Opened(msgspec.Struct, frozen=True):
    """What the transaction holds: requests in order of arrival, trainers, and how many others wait for each course."""

    requests: list[Request]
    trainers: list[Trainer]
    waiting: dict[str, int]


class Decision(msgspec.Struct, frozen=True):
    """A trainer for an allocation, or none: the waitlist. ``ord`` keeps a student's decisions in order."""

    ord: int
    purchase_id: str
    trainer_id: str | None
    turn: int
    event_id: str


def decide(opened: Opened) -> list[Decision]:
    """A decision for every request that has one now; who waits already and still finds no room gets none."""
    room = {t.trainer_id: t.capacity - t.load for t in opened.trainers}
    load = {t.trainer_id: t.load for t in opened.trainers}
    eligible: dict[str, list[str]] = {}
    for trainer in opened.trainers:
        for course in trainer.courses:
            eligible.setdefault(course, []).append(trainer.trainer_id)
    queued: dict[str, bool] = {}
    decisions: list[Decision] = []
    for request in sorted(opened.requests, key=lambda r: not r.waiting):
        chosen = None
        blocked = queued.get(request.course_id, False) or (
            not request.waiting and opened.waiting.get(request.course_id, 0) > 0
        )
        if not blocked:
            chosen = _choose(request, eligible, room, load)
        if chosen is None:
            queued[request.course_id] = True
            if request.waiting:
                continue
        else:
            room[chosen] -= 1
            load[chosen] += 1
        turn = request.turn + 1
        event = "ALLOCATION_WAITLISTED" if chosen is None else "COURSE_ACCESS_GRANTED"
        event_id = ids.event_id(request.purchase_id, event, str(turn))
        decisions.append(Decision(len(decisions), request.purchase_id, chosen, turn, event_id))
    return decisions


def _choose(
    request: Request,
    eligible: Mapping[str, Sequence[str]],
    room: Mapping[str, int],
    load: Mapping[str, int],
) -> str | None:
    candidates = eligible.get(request.course_id, ())
    own = request.own_trainer_id
    if own is not None and own in candidates and room[own] > 0:
        return own
    free = [t for t in candidates if room[t] > 0]
    return min(free, key=lambda t: (load[t], t), default=None)
