from types import SimpleNamespace
from typing import Any, cast

from gateway.actor import Revoke, gateway_child
from gateway.bridge import Bridge
from supervision import ManualClock, System
from tests.support.waiting import wait_until


class LoopThatMayStall:
    """Stands in for the asyncio loop: runs what crosses the bridge at once, or not at all."""

    def __init__(self) -> None:
        self.stalled = False

    def call_soon_threadsafe(self, call) -> None:
        if not self.stalled:
            call()


def test_the_tree_shows_a_stalled_loop_and_its_recovery():
    clock = ManualClock()
    loop = LoopThatMayStall()
    bridge = Bridge()
    revoked: list[str] = []
    door = SimpleNamespace(
        bridge=bridge, hub=SimpleNamespace(revoke=revoked.append), beats=[clock.monotonic()]
    )
    door.beat = lambda: door.beats.append(clock.monotonic())
    door.silent_s = lambda: clock.monotonic() - door.beats[-1]
    bridge.attach(cast("Any", loop))
    system = System("test", clock=clock)
    try:
        ref = system.start_child(None, gateway_child(cast("Any", door)))
        ref.tell(Revoke("s1"))
        wait_until(lambda: revoked == ["s1"])
        clock.advance(3)
        wait_until(lambda: len(door.beats) >= 3)

        def state() -> str:
            children = system.snapshot()["children"]
            return next(str(child["state"]) for child in children if child["name"] == "gateway")

        assert state() == "running"
        loop.stalled = True
        for _ in range(8):
            clock.advance(1)
        wait_until(lambda: state() != "running", what="the stall shows")
        loop.stalled = False
        bridge.attach(cast("Any", loop))

        def runs_a_second_later() -> bool:
            clock.advance(1)
            return state() == "running"

        wait_until(runs_a_second_later, what="it runs again")
    finally:
        system.stop(timeout_s=5)
