"""Random trees, random crashes, random restarts, in one thread with virtual time: what must hold whatever happens.

`SOAK=1` runs ten times as many seeds. A failure prints the drawn tree, the operations and the seed, shrunk by
hypothesis.
"""

import logging
import os
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervision import (
    Actor,
    ActorDeadError,
    Backoff,
    Budget,
    ChildSpec,
    DependencyUnavailable,
    PoisonMessage,
    PoisonPolicy,
    Simulation,
    Supervisor,
)
from supervision.spec import Strategy
from tests.supervision.looking import at

SEEDS = 10_000 if os.environ.get("SOAK") else 1_000


@pytest.fixture(autouse=True, scope="module")
def hush():
    """A thousand trees in trouble have much to say."""
    logger = logging.getLogger("supervision")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


quietly = settings(
    max_examples=SEEDS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)


@dataclass(frozen=True)
class Leaf:
    restart: str
    budget: Budget
    backoff: Backoff
    retries: int
    drain: bool


@dataclass(frozen=True)
class Branch:
    strategy: Strategy
    budget: Budget
    below: tuple


budgets = st.builds(Budget, st.integers(0, 3), st.sampled_from([1.0, 10.0]))
backoffs = st.sampled_from([Backoff(0.0, 0.0), Backoff(0.5, 4.0)])
leaves = st.builds(
    Leaf,
    st.sampled_from(["permanent", "transient", "temporary"]),
    budgets,
    backoffs,
    st.integers(0, 2),
    st.booleans(),
)
strategies = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
trees = st.recursive(
    leaves,
    lambda below: st.builds(Branch, strategies, budgets, st.lists(below, min_size=1, max_size=3).map(tuple)),
    max_leaves=6,
)
kinds = st.sampled_from(
    [
        "tell",
        "tell",
        "tell",
        "ask",
        "bug",
        "bug",
        "poison",
        "dependency",
        "exit",
        "forward",
        "rest",
        "restart",
        "suspend",
        "resume",
        "stop_child",
        "sleep",
        "settle",
    ]
)
operations = st.lists(st.tuples(kinds, st.integers(0, 5), st.integers(0, 2)), max_size=25)


@dataclass
class World:
    """What happened, as the actors saw it."""

    simulation: Simulation
    handled: dict = field(default_factory=lambda: defaultdict(list))
    life: list = field(default_factory=list)
    refs: dict = field(default_factory=dict)
    parked: list = field(default_factory=list)


class Node(Actor):
    def __init__(self, world, path):
        super().__init__()
        self.world = world
        self.path = path
        self.failed_once = set()

    def on_start(self):
        self.world.life.append(("+", self.path))

    def on_stop(self):
        self.world.life.append(("-", self.path))

    def on_failure(self, exception_type, exception_value, traceback):
        self.world.life.append(("!", self.path))

    def on_receive(self, message):
        kind, sender, number, target = message
        if kind == "bug":
            raise ValueError(message)
        if kind == "poison":
            raise PoisonMessage(message)
        if kind == "dependency" and number not in self.failed_once:
            self.failed_once.add(number)
            raise DependencyUnavailable(message)
        self.world.handled[sender, self.path].append(number)
        if kind == "exit":
            self.stop()
        if kind == "rest":
            self.context.rest(0.5)
        if kind == "forward" and target is not None:
            self.world.refs[target].cell.offer(("tell", self.path, number, None))
        return number


def spec_of(tree, name, world, path):
    if isinstance(tree, Branch):
        below = [spec_of(one, f"n{i}", world, f"{path}/n{i}") for i, one in enumerate(tree.below)]
        return ChildSpec(
            name,
            lambda: Supervisor(below, strategy=tree.strategy, budget=tree.budget),
            budget=Budget(2, 10.0),
            backoff=Backoff(0.0, 0.0),
            drain=False,
            stop_timeout_s=float("inf"),
        )

    def park(key, message, failure):
        world.parked.append((path, message))

    return ChildSpec(
        name,
        lambda: Node(world, path),
        restart=tree.restart,
        budget=tree.budget,
        backoff=tree.backoff,
        drain=tree.drain,
        poison=PoisonPolicy(
            retries=tree.retries, backoff=Backoff(0.1, 0.1), park=park if tree.drain else None
        ),
    )


def leaf_paths(tree, path):
    if isinstance(tree, Leaf):
        return [path]
    return [one for i, below in enumerate(tree.below) for one in leaf_paths(below, f"{path}/n{i}")]


def do(world, operation, paths, number):
    simulation, system = world.simulation, world.simulation.system
    kind, which, detail = operation
    path = paths[which % len(paths)]
    ref = world.refs[path]
    if kind == "settle":
        simulation.settle()
    elif kind == "sleep":
        simulation.run(0.3 * (detail + 1))
    elif kind in ("restart", "suspend", "resume"):
        getattr(system, kind)(ref)
    elif kind == "stop_child":
        if detail == 0 and ref.cell.parent is not None and ref.cell.parent.family is not None:
            parent = ref.cell.parent
            if parent.family.find(ref.cell.name) is ref.cell:
                parent.post(
                    lambda: parent.family.find(ref.cell.name) and parent.family.stop_child(ref.cell.name)
                )
    else:
        sender = f"s{detail}"
        target = paths[(which + 1) % len(paths)] if len(paths) > 1 else None
        message = (kind, sender, number, target)
        try:
            if kind == "ask":
                ref.ask(message, block=False)
            else:
                ref.tell(message)
        except ActorDeadError:
            assert ref.cell.closed


@quietly
@given(tree=trees, script=operations, seed=st.integers(0, 2**32 - 1))
def test_whatever_happens(tree, script, seed):
    threads = set(threading.enumerate())
    with Simulation(seed, budget=Budget(1, 10.0)) as simulation:
        world = World(simulation)
        escalations: list[Any] = []
        simulation.system.on_escalation(escalations.append)
        simulation.system.start_child(None, spec_of(tree, "top", world, "top"))
        paths = leaf_paths(tree, "top")
        world.refs = {path: simulation.system.ref(path) for path in paths}
        assert [path for sign, path in world.life if sign == "+"] == paths, "started in order"
        for number, operation in enumerate(script):
            do(world, operation, paths, number)
        simulation.settle()
        account = simulation.system.account()
        assert account.error == 0, account
        for sequence in world.handled.values():
            assert sequence == sorted(set(sequence)), "once and in order for each sender and receiver"
        simulation.run(60.0)
        up = [path for path in paths if simulation.system.ref(path) and _is_up(simulation.system.ref(path))]
        mark = len(world.life)
        assert simulation.system.stop(120.0)
        stops = [path for sign, path in world.life[mark:] if sign == "-"]
        late = {one.path for one in simulation.system.vitals.incidents() if one.kind == "abandoned"}
        up = [path for path in up if path not in late]
        assert [path for path in stops if path in up] == up[::-1], "stopped in reverse order of start"
        account = simulation.system.account()
        assert (account.error, account.queued, account.stashed) == (0, 0, 0), account
        assert simulation.system.root.cell.family is not None
        assert not simulation.system.root.cell.family.members(), "no cell left behind"
        assert not simulation.system.noticed
        assert len(simulation.system.timers) == 0
    assert not set(threading.enumerate()) - threads


def _is_up(ref):
    return ref.cell.behaviour is not None


@quietly
@given(
    gaps_s=st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.9, 1.0, 1.1, 3.0]), min_size=1, max_size=12),
    who=st.lists(st.integers(0, 1), min_size=12, max_size=12),
    child_max=st.integers(0, 4),
    all_max=st.integers(0, 4),
)
def test_budgets_are_exact(gaps_s, who, child_max, all_max):
    """The supervisor gives up at the very failure that a plain count over the last second says, and not before."""
    with Simulation(1, budget=Budget(100, 1.0)) as simulation:
        system = simulation.system

        class Crasher(Actor):
            def on_receive(self, message):
                raise ValueError

        children = [
            ChildSpec(name, Crasher, budget=Budget(child_max, 1.0), backoff=Backoff(0.0, 0.0))
            for name in "ab"
        ]
        spec = ChildSpec(
            "top", lambda: Supervisor(children, budget=Budget(all_max, 1.0)), backoff=Backoff(0.0, 0.0)
        )
        system.start_child(None, spec)
        moments: dict[int, list[float]] = {0: [], 1: []}
        for gap_s, index in zip(gaps_s, who, strict=False):
            simulation.clock.move_to(simulation.clock.monotonic() + gap_s)
            now_s = simulation.clock.monotonic()
            moments[index].append(now_s)
            recent = {key: [at for at in list_ if at > now_s - 1.0] for key, list_ in moments.items()}
            expected = len(recent[index]) > child_max or len(recent[0]) + len(recent[1]) > all_max
            at(system, f"top/{'ab'[index]}").tell("crash")
            simulation.settle()
            escalated = system.vitals.counts["Supervisor", "escalated"]
            assert escalated == (1 if expected else 0), (moments, now_s)
            if expected:
                return


@quietly
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_is_the_same_run(seed):
    if seed % 10:
        # Two runs each: a tenth of the seeds is plenty.
        return
    assert _trace(seed) == _trace(seed)


def _trace(seed):
    with Simulation(seed) as simulation:
        world = World(simulation)
        tree = Branch(
            "one_for_all",
            Budget(3, 5.0),
            tuple(Leaf("permanent", Budget(2, 5.0), Backoff(0.2, 2.0), 1, True) for _ in range(3)),
        )
        simulation.system.start_child(None, spec_of(tree, "top", world, "top"))
        paths = leaf_paths(tree, "top")
        world.refs = {path: simulation.system.ref(path) for path in paths}
        for number in range(12):
            kind = simulation.rng.choice(["tell", "forward", "bug", "dependency", "sleep"])
            do(world, (kind, number, number % 3), paths, number)
        simulation.run(5.0)
        return world.life, dict(world.handled), simulation.steps, simulation.clock.monotonic()
