"""Which fault happens when: drawn from a seed, so that a run can be repeated. Pure."""

import random
from typing import Final, NamedTuple

KINDS: Final = {
    "kill node": 3,
    "freeze node": 3,
    "drain node": 2,
    "stop broker": 2,
    "kill broker": 1,
    "restart PostgreSQL": 1,
    "kill PostgreSQL": 1,
    "kill Redis": 2,
}
"""Kinds of faults, and how often one is drawn beside the others."""


class Act(NamedTuple):
    """One half of a fault: it begins, or it is healed. ``number`` is the node's or broker's, from 0."""

    at_s: float
    kind: str
    number: int
    begins: bool


def lasts_s(kind: str, rng: random.Random, session_timeout_s: float) -> float:
    """A frozen node must be away for longer than the group waits, or it is no zombie when it comes back."""
    if kind == "freeze node":
        return session_timeout_s + rng.uniform(2.0, 6.0)
    if kind.endswith("PostgreSQL"):
        return rng.uniform(0.0, 3.0)
    return rng.uniform(1.0, 8.0)


def draw(
    seed: int, *, duration_s: float, nodes: int, brokers: int, session_timeout_s: float, pause_s: float = 4.0
) -> list[Act]:
    """The faults of one run, in the order of their times. One subject has one fault at a time; a second broker never
    goes while one is away, because two of three copies must stand.
    """
    rng = random.Random(f"faults:{seed}")
    busy: dict[str, float] = {}
    acts: list[Act] = []
    at_s = rng.uniform(1.0, pause_s)
    while at_s < duration_s:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        subject = kind.split()[1]
        number = rng.randrange({"node": nodes, "broker": brokers}.get(subject, 1))
        lock = f"node {number}" if subject == "node" else subject
        if busy.get(lock, 0.0) <= at_s:
            end_s = at_s + lasts_s(kind, rng, session_timeout_s)
            busy[lock] = end_s + 2.0
            acts += [Act(at_s, kind, number, True), Act(end_s, kind, number, False)]
        at_s += rng.uniform(0.3, 2.0) * pause_s
    return sorted(acts)
