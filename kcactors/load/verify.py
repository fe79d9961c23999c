"""Whether the promise was kept, asked of the database, of Kafka and of the screens. The judging is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from actors.store.account import Account, Allocations, Lane


class Stands(msgspec.Struct, frozen=True):
    """What the database holds for the students of a run."""

    purchases: list[tuple[str, str]]
    allocations: Allocations
    lanes: list[Lane]
    wrong_trainers: int

    @property
    def events(self) -> int:
        """Business events written."""
        return sum(lane.events for lane in self.lanes)

    def events_of(self, students: Iterable[str]) -> int:
        """Business events written for some of the students."""
        wanted = set(students)
        return sum(lane.events for lane in self.lanes if lane.student_id in wanted)


def look(account: Account, students: Sequence[str]) -> Stands:
    """Reads what stands for the students."""
    return Stands(
        purchases=account.purchases(students),
        allocations=account.allocations(students),
        lanes=account.lanes(students),
        wrong_trainers=account.wrong_trainers(),
    )


class Verdict(msgspec.Struct, frozen=True):
    """How the promise was broken, counted; all zero when it was kept."""

    doubled: int
    lost: int
    sequence_holes: int
    wrong_trainers: int
    unpublished: int
    published_holes: int
    missed_on_screens: int
    repeated_on_screens: int

    @property
    def kept(self) -> bool:
        """Whether nothing is wrong."""
        return not any(msgspec.structs.astuple(self))

    def broken(self) -> list[str]:
        """What is wrong, in words."""
        words = {
            "doubled": "effects twice",
            "lost": "effects missing",
            "sequence_holes": "students whose event numbers have a hole",
            "wrong_trainers": "trainers whose load is wrong",
            "unpublished": "events that did not reach Kafka",
            "published_holes": "events out of order on Kafka",
            "missed_on_screens": "events that an open screen did not show",
            "repeated_on_screens": "events that an open screen showed twice",
        }
        return [f"{count} {words[name]}" for name, count in msgspec.structs.asdict(self).items() if count]


def judge(
    stands: Stands,
    expected: Iterable[str],
    *,
    published: int | None,
    published_holes: int,
    watched: Iterable[str],
    seen: int,
    repeated: int,
) -> Verdict:
    """Compares what was paid with what stands.

    Args:
        stands: from `look`.
        expected: every payment that was sent.
        published: distinct events seen on Kafka; None when nobody looked there.
        published_holes: events that came there out of order.
        watched: students with an open session.
        seen: distinct events that the sessions saw.
        repeated: frames that a session saw again.
    """
    made = Counter(payment for payment, _ in stands.purchases)
    paid = set(expected)
    extra = sum(count - 1 for count in made.values()) + len(made.keys() - paid)
    return Verdict(
        doubled=extra + stands.allocations.doubled + sum(lane.doubled for lane in stands.lanes),
        lost=len(paid - made.keys()) + stands.allocations.missing,
        sequence_holes=sum(not lane.whole for lane in stands.lanes),
        wrong_trainers=stands.wrong_trainers,
        unpublished=0 if published is None else max(0, stands.events - published),
        published_holes=published_holes,
        missed_on_screens=max(0, stands.events_of(watched) - seen),
        repeated_on_screens=repeated,
    )
