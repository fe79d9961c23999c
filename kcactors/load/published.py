"""What another service would have seen on the topic of business events: what, how often, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kcactors.load.sequence import Sequence

SOURCE_PREFIX = b"/kcactors/student/"


class Published:
    """Follows the events of some students on Kafka. Repetitions are allowed there; holes and disorder are not."""

    def __init__(self, students: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._lanes = {student.encode(): Sequence() for student in students}
        self._ids: set[bytes] = set()
        self.repeated = 0

    def take(self, headers: dict[str, bytes], value: bytes) -> None:
        """Takes one record, in the order of its partition; called by the reader's thread."""
        lane = self._lanes.get(headers.get("ce_source", b"").removeprefix(SOURCE_PREFIX))
        if lane is None:
            return
        with self._lock:
            if lane.see(int(headers["ce_sequence"])):
                self._ids.add(headers["ce_id"])
            else:
                self.repeated += 1

    @property
    def events(self) -> int:
        """Distinct events that arrived in order."""
        with self._lock:
            return len(self._ids)

    @property
    def holes(self) -> int:
        """Numbers that never came, or came after a later one."""
        with self._lock:
            return sum(lane.holes for lane in self._lanes.values())
