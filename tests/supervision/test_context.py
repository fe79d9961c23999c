"""What an actor may ask of its surroundings: children, stash, pool, timers."""

import threading
from functools import partial
from typing import Any

import pytest

from supervision import (
    NO_BACKOFF,
    Actor,
    ActorDeadError,
    Budget,
    ChildSpec,
    ManualClock,
    PipedFailure,
    PoolFull,
    Simulation,
    System,
    ThreadPool,
    UnknownChild,
)
from tests.supervision.looking import at
from tests.support.waiting import wait_until

PATIENCE_S = 5.0


class Worker(Actor):
    def __init__(self, log=None):
        super().__init__()
        self.log = log if log is not None else []

    def on_stop(self):
        self.log.append(f"stop {self.context.name}")

    def on_receive(self, message):
        if callable(message):
            return message(self)
        if isinstance(message, BaseException):
            raise message
        self.log.append(message)
        return message


def test_an_actor_knows_where_it_stands():
    clock = ManualClock()
    system = System("place", clock=clock)
    ref = system.start_child(None, ChildSpec("me", Worker))

    def look(actor):
        context = actor.context
        return (
            context.path,
            context.name,
            context.parent,
            list(context.children),
            context.clock,
            context.depth,
        )

    path, name, parent, children, its_clock, depth = ref.ask(look, timeout=PATIENCE_S)
    assert (path, name, parent, children, depth) == ("me", "me", system.root, [], 0)
    assert its_clock is clock
    assert ref.path == "me"
    assert system.stop()


def test_an_actor_without_a_cell_says_so():
    with pytest.raises(RuntimeError, match="has not been started"):
        Worker().context  # noqa: B018
    assert str(Worker()) == "Worker"


def test_any_actor_can_have_children_and_they_stop_before_it():
    log: list[Any] = []
    with Simulation(1) as simulation:
        system = simulation.system
        ref = system.start_child(None, ChildSpec("boss", lambda: Worker(log)))
        ref.tell(lambda actor: actor.context.start_child(ChildSpec("one", lambda: Worker(log))))
        ref.tell(lambda actor: actor.context.start_child(ChildSpec("two", lambda: Worker(log))))
        simulation.settle()
        assert at(system, "boss/one").is_alive()
        assert system.stop()
    assert log == ["stop two", "stop one", "stop boss"]


def test_children_started_at_run_time_do_not_outlive_a_restart():
    log: list[Any] = []
    with Simulation(2) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("boss", lambda: Worker(log), backoff=NO_BACKOFF))
        ref.tell(lambda actor: actor.context.start_child(ChildSpec("one", lambda: Worker(log))))
        simulation.settle()
        ref.tell(ValueError("restart me"))
        ref.tell("still me")
        simulation.settle()
        assert log == ["stop one", "still me"]
        assert simulation.system.ref("boss/one") is None


def test_a_failing_child_of_an_actor_is_restarted_by_it():
    with Simulation(3) as simulation:
        log: list[Any] = []
        ref = simulation.system.start_child(None, ChildSpec("boss", Worker))
        spec = ChildSpec("one", lambda: Worker(log), backoff=NO_BACKOFF, budget=Budget(1, 60.0))
        ref.tell(lambda actor: actor.context.start_child(spec))
        simulation.settle()
        child = at(simulation.system, "boss/one")
        child.tell(ValueError())
        child.tell("back")
        simulation.settle()
        assert log == ["back"]
        child.tell(ValueError())
        simulation.run(5.0)
        assert at(simulation.system, "boss").cell.restarts == 1, "beyond its budget it is the boss's failure"


def test_two_children_of_one_name_are_refused(system):
    system.start_child(None, ChildSpec("twin", Worker))
    with pytest.raises(ValueError, match="already has a child 'twin'"):
        system.start_child(None, ChildSpec("twin", Worker))


def test_an_unknown_child_is_named(system):
    ref = system.start_child(None, ChildSpec("boss", Worker))
    with pytest.raises(UnknownChild, match="no child 'nobody'"):
        ref.ask(lambda actor: actor.context.stop_child("nobody"), timeout=PATIENCE_S)


def test_starting_below_a_dead_parent_is_refused(system):
    ref = system.start_child(None, ChildSpec("boss", Worker, restart="temporary"))
    ref.stop(timeout=PATIENCE_S)
    with pytest.raises(ActorDeadError):
        system.start_child(ref, ChildSpec("late", Worker))


class Gatekeeper(Actor):
    """Stashes everything until it is told to open."""

    def __init__(self, log):
        super().__init__()
        self.log = log
        self.ready = False

    def on_receive(self, message):
        if message == "open":
            self.ready = True
            self.context.unstash_all()
        elif not self.ready:
            self.context.stash()
        else:
            self.log.append(message)
        return message


def test_stashed_messages_come_back_first_in_order_and_their_askers_wait():
    log: list[Any] = []
    with Simulation(4) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("gate", lambda: Gatekeeper(log)))
        asked = ref.ask(0, block=False)
        for number in (1, 2, 3):
            ref.tell(number)
        simulation.settle()
        assert simulation.system.account().stashed == 4
        assert not asked.done()
        ref.tell("open")
        ref.tell(4)
        simulation.settle()
        assert log == [0, 1, 2, 3, 4]
        assert asked.get(timeout=0) == 0
        account = simulation.system.account()
        assert (account.stashed, account.error) == (0, 0)


def test_what_is_stashed_at_the_end_is_accounted_for():
    with Simulation(5) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("gate", lambda: Gatekeeper([])))
        asked = ref.ask(1, block=False)
        ref.tell(2)
        simulation.settle()
        simulation.system.stop()
        with pytest.raises(ActorDeadError):
            asked.get(timeout=0)
        assert simulation.system.account().error == 0
        assert simulation.system.dead_letters.total == 2


def test_stash_outside_of_a_message_is_refused(system):
    ref = system.start_child(None, ChildSpec("gate", lambda: Gatekeeper([])))
    with pytest.raises(RuntimeError, match="while a message is handled"):
        system.inspect(ref, lambda actor: actor.context.stash()).get(timeout=PATIENCE_S)


def test_blocking_work_goes_to_the_pool_and_its_answer_comes_as_a_message(system):
    log: list[Any] = []
    ref = system.start_child(None, ChildSpec("asker", lambda: Worker(log)))
    gate = threading.Event()

    def ask_pool(actor):
        actor.context.pipe_to_self(actor.context.system.pool.submit(lambda: gate.wait(5) and "answer"))

    def ask_badly(actor):
        actor.context.pipe_to_self(actor.context.system.pool.submit(lambda: 1 / 0), wrap=str)

    ref.tell(ask_pool)
    assert ref.ask("meanwhile", timeout=PATIENCE_S) == "meanwhile"
    gate.set()
    wait_until(lambda: log == ["meanwhile", "answer"], PATIENCE_S)
    ref.tell(ask_badly)
    wait_until(lambda: len(log) == 3, PATIENCE_S)
    assert isinstance(log[2], PipedFailure)
    assert isinstance(log[2].error, ZeroDivisionError)


def test_the_pool_is_bounded_and_refuses_by_name():
    pool = ThreadPool("small", threads=1, queue_max=2)
    gate = threading.Event()
    entered = threading.Event()

    def hold():
        entered.set()
        gate.wait(5)

    futures = [pool.submit(hold)]
    assert entered.wait(5)
    futures += [pool.submit(lambda: "waited") for _ in range(2)]
    with pytest.raises(PoolFull, match="2 pieces of work wait"):
        pool.submit(lambda: None)
    gate.set()
    assert [future.get(timeout=5) for future in futures[1:]] == ["waited", "waited"]
    assert pool.stop(5.0)
    with pytest.raises(ActorDeadError):
        pool.submit(lambda: None)


def test_the_pool_runs_in_a_simulation_too():
    with Simulation(6) as simulation:
        log: list[Any] = []
        ref = simulation.system.start_child(None, ChildSpec("asker", lambda: Worker(log)))
        ref.tell(
            lambda actor: actor.context.pipe_to_self(actor.context.system.pool.submit(lambda: "simulated"))
        )
        simulation.settle()
        assert log == ["simulated"]


# Operators.


def test_suspend_keeps_messages_and_resume_goes_on(system):
    log: list[Any] = []
    ref = system.start_child(None, ChildSpec("one", lambda: Worker(log)))
    system.suspend(ref)
    for number in range(3):
        ref.tell(number)
    assert system.inspect(ref, lambda actor: list(actor.log)).get(timeout=PATIENCE_S) == []
    node = system.snapshot()["children"][0]
    assert (node["state"], node["depth"]) == ("suspended", 3)
    assert node["oldest_s"] > 0
    system.resume(ref)
    wait_until(lambda: log == [0, 1, 2], PATIENCE_S)


def test_an_operators_restart_costs_no_budget(system):
    log: list[Any] = []
    ref = system.start_child(None, ChildSpec("one", lambda: Worker(log), budget=Budget(0, 60.0)))
    for number in range(5):
        system.restart(ref)
        wait_until(partial(_restarted, ref, number + 1), PATIENCE_S)
        assert ref.ask(number, timeout=PATIENCE_S) == number
    assert ref.is_alive()


def _restarted(ref, times):
    return ref.cell.restarts == times


def test_code_can_be_swapped_behind_a_ref(system):
    class Newer(Worker):
        def on_receive(self, message):
            return f"newer {message}"

    ref = system.start_child(None, ChildSpec("one", Worker))
    assert ref.ask("a", timeout=PATIENCE_S) == "a"
    system.swap(ref, Newer)
    wait_until(lambda: ref.cell.actor_class is Newer, PATIENCE_S)
    assert ref.ask("b", timeout=PATIENCE_S) == "newer b"


def test_inspecting_a_dead_actor_fails(system):
    ref = system.start_child(None, ChildSpec("one", Worker, restart="temporary"))
    ref.stop(timeout=PATIENCE_S)
    with pytest.raises(ActorDeadError):
        system.inspect(ref, lambda actor: actor).get(timeout=PATIENCE_S)
