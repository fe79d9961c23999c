"""Many virtual actors in a few lines, and what a group costs to know."""

import pytest

from supervision import Actor, PoisonPolicy, Router
from supervision.groups import ALL_EVERY_S, PIECE, SAMPLE_EVERY_S, Groups
from supervision.roster import VirtualCell
from tests.support.waiting import wait_until


class Kept(Actor):
    def on_receive(self, message):
        if message == "bug":
            raise RuntimeError("a bug")


class Asked:
    """Groups keys by what stands before the dash; counts how often it was asked."""

    def __init__(self):
        self.times = 0

    def __call__(self, key):
        self.times += 1
        return f"shard {key.split('-')[0]}"


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture
def router(system, asked):
    parked = PoisonPolicy(park=lambda *_: None)
    made = Router(lambda _: Kept(), group_of=asked, poison=parked)
    system.start_child(None, made.spec())
    return made


def directory(system):
    return next(one for one in system.snapshot()["children"] if one["name"] == "directory")


def by_name(system):
    return {group["name"]: group for group in directory(system)["groups"]}


def test_groups_count_their_actors_in_natural_order(system, router):
    for shard, times in (("2", 3), ("10", 5), ("1", 1)):
        for number in range(times):
            router.tell(f"{shard}-{number}", "x")
    found = directory(system)["groups"]
    assert [(group["name"], group["active"]) for group in found] == [
        ("shard 1", 1),
        ("shard 2", 3),
        ("shard 10", 5),
    ]
    assert not any(group["about"] for group in found)


def test_a_group_has_the_sums_of_its_troubles_and_names_their_actors(system, router):
    for number in range(4):
        router.tell(f"1-{number}", "x")
        router.tell(f"2-{number}", "x")
    wait_until(lambda: all(router.ref(f"1-{n}").cell.handled for n in range(4)))
    suspended = router.ref("1-0")
    system.suspend(suspended)
    wait_until(lambda: suspended.cell.suspended)
    for _ in range(3):
        router.tell("1-0", "waits")
    router.tell("2-1", "bug")
    wait_until(lambda: router.ref("2-1").cell.restarts == 1)
    groups = by_name(system)
    assert (groups["shard 1"]["depth"], groups["shard 1"]["state"]) == (3, "suspended")
    assert groups["shard 1"]["oldest_s"] > 0
    assert groups["shard 2"]["restarts"] == 1
    family = system.ref("directory").cell.family
    assert [cell.name for cell in family.members_of("shard 1", 5)] == ["1-0"]
    assert family.members_of("shard 3", 5) == []


def test_nobody_is_asked_for_a_group_until_somebody_looks_and_then_once(system, router, asked):
    for number in range(50):
        router.tell(f"1-{number}", "x")
    wait_until(lambda: all(router.ref(f"1-{n}").cell.handled for n in range(50)))
    assert asked.times == 0
    for _ in range(3):
        system.snapshot()
    assert asked.times == 50


def test_a_key_that_the_rule_cannot_read_hides_no_other(system):
    router = Router(lambda _: Kept(), group_of=lambda key: f"shard {int(key)}")
    system.start_child(None, router.spec())
    router.tell("7", "x")
    router.tell("seven", "x")
    assert {name: group["active"] for name, group in by_name(system).items()} == {
        "shard 7": 1,
        "unknown (ValueError)": 1,
    }


class Many:
    """A thousand actors in two groups of one size; each asking costs a millisecond of the processor."""

    def __init__(self, system, **options):
        self.now, self.spent = [0.0], [0.0]

        def group_of(key):
            self.spent[0] += 0.001
            return f"shard {int(key) % 2}"

        self.router = Router(lambda _: Kept(), group_of=group_of)
        system.start_child(None, self.router.spec())
        for number in range(1000):
            self.router.tell(str(number), "x")
        self.groups = Groups(self.router.roster, lambda: self.now[0], lambda: self.spent[0], **options)

    def look(self):
        return [(group["active"], group["about"]) for group in self.groups.look([])]


def test_one_look_asks_within_its_budget_and_the_numbers_are_shares_until_all_are_asked(system):
    many = Many(system)
    assert many.look() == [(500, True), (500, True)]
    assert many.spent[0] == pytest.approx(PIECE / 1000), "one piece"
    while many.look() != [(500, False), (500, False)]:
        assert many.spent[0] < 1.0
    assert many.spent[0] == pytest.approx(1.0), "each was asked once"


def test_of_many_only_a_sample_is_asked_and_other_ones_each_time(system):
    many = Many(system, sample_max=100)
    for draw in range(1, 4):
        assert many.look()[0][1], "about"
        assert many.spent[0] == pytest.approx(0.1 * draw)
        many.look()
        assert many.spent[0] == pytest.approx(0.1 * draw), "not again before it is time"
        many.now[0] += SAMPLE_EVERY_S


def test_an_actor_that_came_since_is_asked_with_the_next_count(system):
    now = [0.0]
    router = Router(lambda _: Kept(), group_of=lambda key: f"shard {key}")
    system.start_child(None, router.spec())
    groups = Groups(router.roster, lambda: now[0])
    router.tell("1", "x")
    groups.look([])
    router.tell("2", "x")
    now[0] += ALL_EVERY_S
    found = groups.look([])
    assert {group["name"]: group["active"] for group in found} == {"shard 1": 1, "shard 2": 1}


def test_no_rule_no_groups(system):
    router = Router(lambda _: Kept())
    system.start_child(None, router.spec())
    router.tell("a", "x")
    assert "groups" not in directory(system)
    assert "group" in VirtualCell.__slots__
