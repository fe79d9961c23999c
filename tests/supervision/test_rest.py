"""An actor that rests: what comes meanwhile is handled together, and nothing is lost."""

from typing import Any, ClassVar

from supervision import NO_BACKOFF, Actor, ChildSpec, Simulation
from tests.supervision.looking import at

REST_S = 2.0


class Gatherer(Actor):
    batch_max: ClassVar[int] = 10

    def __init__(self, log: list[list[Any]]) -> None:
        super().__init__()
        self.log = log

    def on_batch(self, messages: list[Any]) -> None:
        self.log.append(messages)
        if "fail" in messages:
            self.context.rest(REST_S)
            raise ValueError("while it rests")
        self.context.rest(REST_S)


def test_what_comes_during_a_rest_is_handled_together_after_it() -> None:
    log: list[list[Any]] = []
    with Simulation(1) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("one", lambda: Gatherer(log)))
        ref.tell(0)
        simulation.settle()
        began_s = simulation.clock.monotonic()
        for number in (1, 2, 3):
            ref.tell(number)
            simulation.settle()
        assert log == [[0]]
        simulation.run_until(lambda: len(log) == 2, timeout_s=REST_S)
        assert simulation.clock.monotonic() - began_s <= REST_S
        assert log == [[0], [1, 2, 3]]


def test_who_rests_looks_well_and_can_be_looked_at() -> None:
    with Simulation(2) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("one", lambda: Gatherer([])))
        ref.tell(0)
        simulation.settle()
        ref.tell(1)
        looked = simulation.system.inspect(ref, lambda actor: actor.log)
        simulation.settle()
        assert looked.get(timeout=0) == [[0]]
        (node,) = simulation.system.snapshot()["children"]
        assert (node["state"], node["depth"]) == ("running", 1)


def test_a_stop_ends_the_rest_and_what_was_queued_is_handled_before_it() -> None:
    log: list[list[Any]] = []
    with Simulation(3) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("one", lambda: Gatherer(log)))
        ref.tell(0)
        simulation.settle()
        ref.tell(1)
        began_s = simulation.clock.monotonic()
        simulation.system.stop_child(ref)
        assert log == [[0], [1]]
        assert not ref.is_alive()
        assert simulation.clock.monotonic() - began_s < REST_S, "and it does not rest once more"


def test_one_made_again_during_its_rest_goes_on_after_it() -> None:
    log: list[list[Any]] = []
    with Simulation(4) as simulation:
        spec = ChildSpec("one", lambda: Gatherer(log), backoff=NO_BACKOFF)
        ref = simulation.system.start_child(None, spec)
        ref.tell("fail")
        simulation.settle()
        ref.tell("after it")
        simulation.run(10 * REST_S)
        assert log[-1] == ["after it"]
        assert at(simulation.system, "one").cell.restarts >= 1
        assert simulation.system.account().error == 0
