"""A rehearsal: the same tree in one thread with virtual time.

An hour of trouble passes in a moment, and the same seed brings it back.
"""

from __future__ import annotations

from typing import Any

from supervision import Actor, Backoff, Budget, ChildSpec, Simulation, supervisor


class Shaky(Actor):
    """Counts, and fails by chance."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self._counts = counts

    def on_receive(self, message: Any) -> None:
        if self.context.rng.random() < 0.1:
            raise RuntimeError("bad luck")
        self._counts.append(message)


def main(seed: int = 7) -> tuple[int, int, float]:
    """An hour with a message a second. Returns messages handled, restarts, and seconds by the virtual clock."""
    counts: list[int] = []
    spec = ChildSpec(
        "shaky",
        lambda: Shaky(counts),
        backoff=Backoff(1.0, 10.0),
        budget=Budget(max_restarts=100, within_s=60.0),
    )
    with Simulation(seed) as simulation:
        system = simulation.system
        system.start_child(None, supervisor("top", [spec], budget=Budget(max_restarts=1000, within_s=60.0)))
        shaky = system.ref("top/shaky")
        assert shaky is not None  # noqa: S101 - it was started a line before
        began_s = simulation.clock.monotonic()
        system.timers.tell_every(1.0, shaky, 1)
        simulation.run(3600.0)
        return len(counts), shaky.cell.restarts, simulation.clock.monotonic() - began_s
