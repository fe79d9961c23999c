"""What happens at the edges of the tree, told as incidents beside those that the actors have themselves."""

from __future__ import annotations

from typing import Final

from actors.messages import Park
from supervision import System

PARKED_TOLD: Final = 20
WINDOW_S: Final = 60.0
"""As many parked messages in a window are incidents; the parked page has each one of a flood."""
PLACES: Final = {"redis": "publisher/announcer"}
"""Who notices that something is away and goes on. All others fail over it, and the runtime tells of that."""
DETAIL_MAX: Final = 200


class Chronicle:
    """Tells one system's vitals. From any thread; a lost race tells one message more."""

    def __init__(self, system: System) -> None:
        self._vitals = system.vitals
        self._now = system.now
        self._window_s = float("-inf")
        self._told = 0

    def state(self, name: str, before: bool | None, up: bool) -> None:  # noqa: FBT001  (a change is two facts)
        """A part is well or not; ``before`` is None when nobody knew."""
        if name not in PLACES or (before is None and up):
            return
        kind = "dependency_back" if up else "dependency_lost"
        self._vitals.incident(PLACES[name], "Announcer", kind, name)

    def parked(self, park: Park) -> None:
        """A message stands in ``parked``. One whose student failed over it was told of by the student's actor."""
        if park.stage == "student":
            return
        now_s = self._now()
        if now_s - self._window_s > WINDOW_S:
            self._window_s, self._told = now_s, 0
        self._told += 1
        if self._told <= PARKED_TOLD:
            self._vitals.incident("core", "Ledger", "parked", f"{park.stage}: {park.reason}"[:DETAIL_MAX])
        else:
            self._vitals.count("Ledger", "parked")

    def fenced(self, partitions: int) -> None:
        """The group gave our partitions to others while we were silent."""
        what = "partition" if partitions == 1 else "partitions"
        self._vitals.incident(
            "core/ingest", "Ingest", "fenced_out", f"{partitions} {what} belong to others now"
        )
