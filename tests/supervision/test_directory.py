"""Virtual actors: started by a message, put away when idle, never two for one key, no message lost."""

import threading
import time
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervision import (
    NO_BACKOFF,
    Actor,
    ActorDeadError,
    Backoff,
    Budget,
    ChildSpec,
    DependencyUnavailable,
    MailboxFull,
    PoisonPolicy,
    Router,
    Simulation,
    supervisor,
)
from tests.supervision.looking import at
from tests.support.waiting import wait_until

PATIENCE_S = 10.0


class Keyed(Actor):
    """Remembers for each key what it saw, in `world`, and whether two of one key were ever alive at once."""

    def __init__(self, world, key):
        super().__init__()
        self.world = world
        self.key = key
        self.busy = False

    def on_start(self):
        self.world.alive[self.key] += 1
        self.world.most[self.key] = max(self.world.most[self.key], self.world.alive[self.key])
        self.world.starts[self.key] += 1

    def on_stop(self):
        self.world.alive[self.key] -= 1
        self.world.stops[self.key] += 1

    def on_failure(self, exception_type, exception_value, traceback):
        self.world.alive[self.key] -= 1

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            return message(self)
        self.world.seen[self.key].append(message)
        return message

    def is_idle(self):
        return not self.busy


class World:
    def __init__(self):
        self.seen = defaultdict(list)
        self.starts = defaultdict(int)
        self.stops = defaultdict(int)
        self.alive = defaultdict(int)
        self.most = defaultdict(int)
        self.parked = []

    def park(self, key, message, failure):
        self.parked.append((key, message, failure.attempts))


@pytest.fixture
def world():
    return World()


def router_of(world, **options):
    options.setdefault("backoff", NO_BACKOFF)
    return Router(lambda key: Keyed(world, key), **options)


def test_a_message_starts_its_actor_and_the_tree_shows_it(system, world):
    router = router_of(world)
    system.start_child(None, router.spec())
    assert router.ask("k", "hello").get(timeout=PATIENCE_S) == "hello"
    assert router.active == 1
    assert router.keys() == ["k"]
    assert system.ref("directory/k") is router.ref("k")
    node = next(one for one in system.snapshot()["children"] if one["name"] == "directory")
    assert node["active"] == 1
    assert node["class"] == "Directory"


def test_telling_only_the_active(system, world):
    router = router_of(world)
    system.start_child(None, router.spec())
    assert router.tell_existing("k", 1) is False
    router.tell("k", 2)
    assert router.tell_existing("k", 3) is True
    router.ask("k", 4).get(timeout=PATIENCE_S)
    assert world.seen["k"] == [2, 3, 4]
    assert router.ref("nobody") is None


def test_before_and_after_its_life_the_router_refuses(system, world):
    router = router_of(world)
    with pytest.raises(ActorDeadError, match="not up"):
        router.tell("k", 1)
    ref = system.start_child(None, router.spec())
    router.tell("k", 2)
    system.stop_child(ref)
    with pytest.raises(ActorDeadError, match="not up"):
        router.tell("k", 3)
    assert world.seen["k"] == [2]
    assert world.stops["k"] == 1


def test_each_mailbox_is_bounded(system, world):
    router = router_of(world, mailbox_limit=2)
    system.start_child(None, router.spec())
    gate = threading.Event()
    entered = threading.Event()

    def hold(actor):
        entered.set()
        gate.wait(PATIENCE_S)

    router.tell("k", hold)
    assert entered.wait(PATIENCE_S)
    router.tell("k", 1)
    router.tell("k", 2)
    with pytest.raises(MailboxFull):
        router.tell("k", 3)
    gate.set()


def test_what_is_told_at_once_keeps_its_order_and_the_bound(system, world):
    router = router_of(world, mailbox_limit=3)
    with pytest.raises(ActorDeadError, match="not up"):
        router.tell_all("k", [0])
    system.start_child(None, router.spec())
    gate, entered = threading.Event(), threading.Event()

    def hold(actor):
        entered.set()
        gate.wait(PATIENCE_S)

    assert router.tell_all("k", [hold]) == 1, "it starts its actor"
    assert entered.wait(PATIENCE_S)
    router.tell("k", 1)
    assert router.tell_all("k", [2, 3, 4, 5]) == 2, "as many as there is room for"
    assert router.tell_all("k", [6]) == 0
    gate.set()
    wait_until(lambda: len(world.seen["k"]) >= 3)
    assert router.ask("k", 7).get(timeout=PATIENCE_S) == 7
    assert world.seen["k"] == [1, 2, 3, 7]
    mailbox = at(system, "directory/k").cell
    assert (mailbox.accepted, mailbox.refused) == (5, 3)


def test_what_is_told_at_once_finds_an_actor_that_was_just_put_away():
    with Simulation(1) as simulation:
        world = World()
        router = router_of(world, idle_s=10.0)
        simulation.system.start_child(None, router.spec())
        router.tell_all("k", [1, 2])
        simulation.run(30.0)
        assert router.active == 0
        router.tell_all("k", [3, 4])
        simulation.settle()
        assert world.seen["k"] == [1, 2, 3, 4]
        assert world.starts["k"] == 2
        assert simulation.system.account().error == 0


def test_an_idle_actor_is_put_away_and_a_busy_one_is_not():
    with Simulation(1) as simulation:
        world = World()
        router = router_of(world, idle_s=10.0)
        simulation.system.start_child(None, router.spec())
        router.tell("idle", 1)
        router.tell("busy", lambda actor: setattr(actor, "busy", True))
        simulation.run(9.0)
        assert router.active == 2
        simulation.run(12.0)
        assert router.keys() == ["busy"]
        assert world.stops["idle"] == 1
        assert router.passivations == 1
        router.tell("busy", lambda actor: setattr(actor, "busy", False))
        simulation.run(30.0)
        assert router.active == 0
        assert simulation.system.account().error == 0


def test_whoever_is_told_to_go_goes_unless_it_is_busy_and_comes_back_with_a_message():
    with Simulation(1) as simulation:
        world = World()
        router = router_of(world)
        simulation.system.start_child(None, router.spec())
        assert router.put_away("nobody") is False
        router.tell("free", 1)
        router.tell("busy", lambda actor: setattr(actor, "busy", True))
        simulation.settle()
        assert router.put_away("free")
        assert router.put_away("busy")
        router.tell("late", 2)
        assert router.put_away("late"), "a message that waits is not lost"
        simulation.settle()
        assert not router.is_active("free")
        assert router.is_active("busy")
        assert world.seen["late"] == [2]
        router.tell("free", 3)
        simulation.settle()
        assert world.seen["free"] == [1, 3]
        assert world.most["free"] == 1
        assert simulation.system.account().error == 0


def test_a_ref_outlives_passivation():
    with Simulation(2) as simulation:
        world = World()
        router = router_of(world, idle_s=1.0)
        simulation.system.start_child(None, router.spec())
        router.tell("k", 1)
        simulation.settle()
        ref = at(router, "k")
        simulation.run(5.0)
        assert router.active == 0
        ref.tell(2)
        future = ref.ask(3, block=False)
        simulation.settle()
        assert future.get(timeout=0) == 3
        assert world.seen["k"] == [1, 2, 3]
        assert world.starts["k"] == 2


def test_beyond_the_cap_the_least_recently_active_go_first():
    with Simulation(3) as simulation:
        world = World()
        router = router_of(world, idle_s=1e6, active_max=10)
        simulation.system.start_child(None, router.spec())
        for number in range(10):
            router.tell(str(number), 1)
        simulation.settle()
        for round_ in range(30):
            for number in range(5):
                router.tell(str(number), 2)
            router.tell(f"new-{round_}", 1)
            simulation.settle()
        assert router.active <= 11
        assert {str(number) for number in range(5)} <= set(router.keys()), "the busy ones stay"


def test_a_failing_key_is_retried_then_parked_and_costs_its_siblings_nothing():
    with Simulation(4) as simulation:
        world = World()
        policy = PoisonPolicy(retries=2, park=world.park)
        router = router_of(world, poison=policy, budget=Budget(10, 60.0), backoff=Backoff(1.0, 4.0))
        simulation.system.start_child(None, router.spec())
        error = ValueError("always")
        router.tell("bad", error)
        router.tell("bad", "after")
        router.tell("good", "fine")
        simulation.settle()
        assert world.seen["good"] == ["fine"]
        assert world.seen["bad"] == [], "the lane waits"
        simulation.run(60.0)
        assert world.parked == [("bad", error, 3)]
        assert world.seen["bad"] == ["after"]
        assert simulation.system.account().error == 0


def test_a_key_beyond_its_budget_is_parked_whole_and_starts_anew():
    with Simulation(5) as simulation:
        world = World()
        router = router_of(world, poison=PoisonPolicy(park=world.park), budget=Budget(1, 60.0))
        simulation.system.start_child(None, router.spec())
        for message in (ValueError("1"), ValueError("2"), "left"):
            router.tell("bad", message)
        router.tell("good", "fine")
        simulation.run(60.0)
        assert [message for _, message, _ in world.parked[2:]] == ["left"]
        assert world.seen["good"] == ["fine"]
        router.tell("bad", "again")
        simulation.run(1.0)
        assert world.seen["bad"] == ["again"]
        assert [one.kind for one in simulation.system.vitals.incidents() if one.kind == "given_up"]
        assert simulation.system.account().error == 0


def test_a_dependency_failure_holds_one_lane_only():
    with Simulation(6) as simulation:
        world = World()
        router = router_of(world, poison=PoisonPolicy(backoff=Backoff(1.0, 1.0)))
        simulation.system.start_child(None, router.spec())
        away = {"yes": True}

        def pay(actor):
            if away["yes"]:
                raise DependencyUnavailable("database")
            world.seen[actor.key].append("paid")

        router.tell("a", pay)
        router.tell("a", "after")
        router.tell("b", "fine")
        simulation.run(5.0)
        assert dict(world.seen) == {"b": ["fine"]}
        away["yes"] = False
        simulation.run(5.0)
        assert world.seen["a"] == ["paid", "after"]
        assert world.starts["a"] == 1


def test_a_key_whose_factory_fails_tries_again_with_its_messages_kept():
    with Simulation(7) as simulation:
        world = World()
        tries = []

        def factory(key):
            tries.append(key)
            if len(tries) < 3:
                raise OSError("not yet")
            return Keyed(world, key)

        router = Router(factory, backoff=Backoff(1.0, 1.0))
        simulation.system.start_child(None, router.spec())
        router.tell("k", 1)
        router.tell("k", 2)
        simulation.run(10.0)
        assert world.seen["k"] == [1, 2]


def test_when_a_sibling_takes_the_directory_down_mailboxes_survive():
    """rest_for_one, as a ledger before the directory would do it."""
    with Simulation(8) as simulation:
        world = World()

        class Ledger(Actor):
            def on_receive(self, message):
                raise ValueError(message)

        router = router_of(world)
        core = supervisor(
            "core",
            [ChildSpec("ledger", Ledger, backoff=Backoff(1.0, 1.0)), router.spec()],
            strategy="rest_for_one",
        )
        simulation.system.start_child(None, core)
        router.tell("k", 1)
        simulation.settle()
        ref = at(router, "k")
        at(simulation.system, "core/ledger").tell("crash")
        simulation.settle()
        router.tell("k", 2)
        router.tell("new", 3)
        simulation.settle()
        assert world.seen["k"] == [1], "nothing runs while the ledger is away"
        simulation.run(10.0)
        assert dict(world.seen) == {"k": [1, 2], "new": [3]}
        assert router.ref("k") is ref
        assert world.most["k"] == 1
        assert simulation.system.account().error == 0


def test_stop_drains_every_key(make_system, world):
    system = make_system("drain")
    router = router_of(world)
    system.start_child(None, router.spec())
    for number in range(2000):
        router.tell(str(number % 50), number)
    assert system.stop(PATIENCE_S) is True
    assert sum(len(seen) for seen in world.seen.values()) == 2000
    assert all(count == 1 for count in world.stops.values())


def test_a_storm_of_activations_and_passivations_loses_nothing(make_system, world):
    """Senders race passivation on real threads; `idle_s` is so short that every actor comes and goes all the time."""
    system = make_system("storm", shared_threads=2)
    router = router_of(world, idle_s=0.001, active_max=20)
    system.start_child(None, router.spec())
    senders, keys, enough = 3, 40, 3000
    sent = [0] * senders
    end_s = time.monotonic() + 30

    def send(sender):
        while router.passivations < enough and time.monotonic() < end_s:
            for number in range(sent[sender], sent[sender] + 20):
                router.tell(str((number * 7 + sender) % keys), (sender, number))
            sent[sender] += 20
            # Off and on, so that some actors are idle just when the next message comes.
            gap.wait(0.0005)

    gap = threading.Event()
    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wait_until(lambda: sum(len(seen) for seen in world.seen.values()) == sum(sent), PATIENCE_S)
    assert router.passivations >= enough, "the test must have raced something"
    for seen in world.seen.values():
        for sender in range(senders):
            numbers = [number for one, number in seen if one == sender]
            assert numbers == sorted(numbers)
    assert set(world.most.values()) == {1}, "never two at once for one key"
    wait_until(lambda: system.account().error == 0, PATIENCE_S)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    script=st.lists(
        st.tuples(st.sampled_from(["tell", "tell", "bug", "sleep", "settle", "halt"]), st.integers(0, 3)),
        max_size=40,
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_happens_to_virtual_actors(script, seed):
    with Simulation(seed) as simulation:
        world = World()
        router = router_of(world, idle_s=1.0, active_max=2, poison=PoisonPolicy(retries=1, park=world.park))
        simulation.system.start_child(None, router.spec())
        sent = defaultdict(list)
        bugs = 0
        for number, (kind, key) in enumerate(script):
            if kind == "tell":
                router.tell(str(key), number)
                sent[str(key)].append(number)
            elif kind == "bug":
                router.tell(str(key), ValueError(number))
                bugs += 1
            elif kind == "sleep":
                simulation.run(0.7 * (key + 1))
            elif kind == "halt":
                simulation.system.restart(at(simulation.system, "directory"))
            else:
                simulation.settle()
        simulation.run(60.0)
        parked = defaultdict(list)
        for key, message, _ in world.parked:
            if not isinstance(message, ValueError):
                parked[key].append(message)
        for key, numbers in sent.items():
            assert sorted(world.seen[key] + parked[key]) == numbers
            assert world.seen[key] == sorted(world.seen[key])
        assert len([one for one in world.parked if isinstance(one[1], ValueError)]) == bugs
        assert set(world.most.values()) <= {1}
        assert simulation.system.account().error == 0
        assert router.active == 0


def _stop_soon(ref):
    parent = ref.cell.parent
    parent.post(lambda: parent.family.stop_child(ref.cell.name))


def test_a_stop_restarts_a_failed_key_for_what_it_still_has():
    with Simulation(10) as simulation:
        world = World()
        router = router_of(world, backoff=Backoff(30.0, 30.0))
        home = simulation.system.start_child(None, router.spec())
        for message in (1, ValueError("bad"), 2, ValueError("bad again"), 3):
            router.tell("k", message)
        simulation.settle()
        assert world.seen["k"] == [1], "its restart waits"
        _stop_soon(home)
        simulation.settle()
        assert world.seen["k"] == [1, 2], "a second failure is one too many"
        assert not home.is_alive()
        assert simulation.system.account().error == 0


def test_a_stop_waits_for_answers_under_way_until_its_deadline():
    for answered in (True, False):
        with Simulation(9) as simulation:
            world = World()
            router = router_of(world, stop_timeout_s=5.0)
            home = simulation.system.start_child(None, router.spec())
            router.tell("k", lambda actor: setattr(actor, "busy", True))
            simulation.settle()
            _stop_soon(home)
            simulation.run(1.0)
            assert world.stops["k"] == 0, "it waits"
            if answered:
                router.tell("k", lambda actor: setattr(actor, "busy", False))
                simulation.run(1.0)
            else:
                simulation.run(5.0)
            assert world.stops["k"] == 1
            assert not home.is_alive()
            assert simulation.system.account().error == 0
