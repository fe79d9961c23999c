"""The watchdog of the Kafka client."""

import pytest

from actors.ingest.watch import ClientCalls, IngestWatch, Step, next_step
from supervision import ChildSpec
from supervision.clock import ManualClock
from supervision.deterministic import Simulation


@pytest.mark.parametrize(
    ("silent_s", "last", "step"),
    [
        (0.0, Step.NOTHING, Step.NOTHING),
        (9.9, Step.BREAK_OFF, Step.NOTHING),
        (10.0, Step.NOTHING, Step.BREAK_OFF),
        (19.9, Step.BREAK_OFF, Step.BREAK_OFF),
        (20.0, Step.BREAK_OFF, Step.RESTART),
        (99.0, Step.NOTHING, Step.BREAK_OFF),
    ],
)
def test_a_call_is_broken_off_before_ingest_is_restarted(silent_s, last, step):
    assert next_step(silent_s, 10.0, last) is step


def test_a_call_counts_while_it_lasts():
    clock = ManualClock()
    calls = ClientCalls(clock.monotonic)
    assert calls.silent_s() == 0.0
    with calls:
        clock.advance(3.0)
        assert calls.silent_s() == 3.0
    assert calls.silent_s() == 0.0


def test_a_hung_call_is_broken_off_once_then_ingest_is_restarted_once():
    did = []
    with Simulation(1) as simulation:
        system = simulation.system
        calls = ClientCalls(system.clock.monotonic)
        calls.break_off = lambda _reason: did.append(("break off", round(calls.silent_s())))
        watch = ChildSpec(
            "watch", lambda: IngestWatch(calls, lambda: did.append(("restart", round(calls.silent_s()))), 8.0)
        )
        system.start_child(None, watch)
        with calls:
            simulation.run(40.0)
        assert did == [("break off", 8), ("restart", 16)]
        simulation.run(10.0)
        with calls:
            simulation.run(10.0)
        assert did[2:] == [("break off", 8)]
