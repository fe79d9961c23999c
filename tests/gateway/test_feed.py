"""One reader's place in the log: each ``seq`` once and in order, whatever the doorbell does."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed import CaughtUp, Event, Feed, Item, Need, Opened, ResetTo
from gateway.ports import Ring
from gateway.resume import Position

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kc_v1"
RESUME = json.loads((FIXTURES / "resume.json").read_text())["cases"]


class Frame(NamedTuple):
    seq: int
    text: str


class Page(NamedTuple):
    epoch: str
    head: int
    oldest: int
    frames: list[Frame]


def feed(**changes) -> Feed:
    return Feed(**{"replay_max": 500, "queue_events": 8, "queue_bytes": 1000, **changes})


def ring(seq: int, epoch: str = "e1") -> Ring:
    return Ring(epoch, seq, f"t{seq}", 1.0)


class World:
    """A log and one reader of it. ``read`` answers whatever the feed needs, as of now or as of an earlier moment."""

    def __init__(self, reader: Feed, head: int = 0, epoch: str = "e1", oldest: int = 1) -> None:
        self.feed, self.head, self.epoch, self.oldest = reader, head, epoch, oldest
        self.got: list[int] = []
        self.items: list[Item] = []
        self.causes: list[str] = []

    def page(self, after: int, limit: int = 3) -> Page:
        frames = [Frame(n, f"t{n}") for n in range(max(after + 1, self.oldest), self.head + 1)][:limit]
        return Page(self.epoch, self.head, self.oldest, frames)

    def read(self) -> bool:
        need = self.feed.need
        if need is Need.HEAD:
            self.feed.on_head(self.epoch, self.head)
        elif need is Need.PAGE:
            self.feed.on_page(self.page(self.feed.last))
        elif need is Need.SNAPSHOT:
            self.feed.on_snapshot(b"{}", self.head, self.epoch)
        return need is not Need.NOTHING

    def take(self, limit: int = 100) -> list[Item]:
        items = self.feed.take(limit)
        self.feed.sent()
        self.items += items
        for item in items:
            if isinstance(item, ResetTo):
                self.got = list(range(1, item.as_of_seq + 1))
            elif isinstance(item, Event):
                assert item.text == f"t{item.seq}"
                self.got.append(item.seq)
        return items

    def settle(self) -> None:
        while self.read() or self.take():
            pass


@pytest.mark.parametrize("case", [c for c in RESUME if "close" not in c["expect"]], ids=lambda c: c["name"])
def test_the_resume_table(case):
    reader = feed()
    world = World(reader, **case["log"])
    since, expect = case["since"], case["expect"]
    reader.open(Position(since.get("epoch", ""), since["seq"]) if since else None)
    world.settle()
    opened = world.items[0]
    assert isinstance(opened, Opened)
    assert (opened.resume, opened.head) == (expect["resume"], case["log"]["head"])
    events = [item.seq for item in world.items if isinstance(item, Event)]
    assert events == list(range(expect["from"], expect["to"] + 1)) if "from" in expect else events == []
    reset = [item.reason for item in world.items if isinstance(item, ResetTo)]
    assert reset == ([expect["reason"]] if "reason" in expect else [])
    assert world.items[-1] == CaughtUp(case["log"]["head"])
    assert reader.live


def live(head: int = 0, **changes) -> World:
    reader = feed(**changes)
    world = World(reader, head)
    reader._on_heal = world.causes.append
    reader.open(None)
    world.settle()
    world.items.clear()
    return world


def test_what_is_next_goes_straight_through():
    world = live(4)
    world.head = 5
    assert world.feed.on_ring(ring(5))
    assert world.feed.need is Need.NOTHING
    assert world.take() == [Event(5, "t5", 1.0)]


def test_what_came_before_is_dropped():
    world = live(4)
    assert not world.feed.on_ring(ring(4))
    assert not world.feed.waiting


def test_a_gap_is_read_from_the_log():
    world = live(4)
    world.head = 7
    world.feed.on_ring(ring(7))
    world.settle()
    assert world.got == [5, 6, 7]
    assert world.causes == ["gap"]
    assert world.feed.live


def test_a_lost_tail_is_found_by_the_head():
    world = live(4)
    world.head = 5
    assert not world.feed.on_tail("e1", 4, "tail")
    assert world.feed.on_tail("e1", 5, "tail")
    world.settle()
    assert (world.got, world.causes) == ([5], ["tail"])


def test_a_full_queue_is_dropped_and_read_again():
    world = live(0)
    for n in range(1, 12):
        world.head = n
        world.feed.on_ring(ring(n))
    world.settle()
    assert world.got == list(range(1, 12))
    assert "lagging" in world.causes


def test_nothing_is_read_for_a_reader_that_takes_nothing():
    world = live(0)
    world.head = 1
    world.feed.on_ring(ring(1))
    world.feed.take()
    for n in range(2, 40):
        world.head = n
        world.feed.on_ring(ring(n))
    assert not world.read()
    world.feed.sent()
    assert world.read()


def test_a_lagging_reader_that_fell_too_far_behind_gets_a_snapshot():
    world = live(0, replay_max=10)
    for n in range(1, 40):
        world.head = n
        world.feed.on_ring(ring(n))
    world.settle()
    assert [item.reason for item in world.items if isinstance(item, ResetTo)] == ["too_many"]
    assert world.got == list(range(1, 40))


def test_a_ring_while_reading_is_merged_once():
    reader = feed()
    world = World(reader, head=3)
    reader.open(Position("e1", 1))
    reader.on_ring(ring(4))
    world.read()
    reader.on_ring(ring(3))
    reader.on_ring(ring(5))
    page = world.page(1)
    world.head = 5
    reader.on_page(page)
    world.settle()
    assert world.got == [2, 3, 4, 5]


def test_a_ring_between_subscription_and_head_is_not_lost():
    reader = feed()
    world = World(reader, head=3)
    reader.open(None)
    reader.on_ring(ring(4))
    reader.on_head("e1", 3)
    world.head = 4
    world.settle()
    assert world.got == [4]


def test_a_ring_that_lies_costs_one_read():
    world = live(4)
    world.feed.on_ring(ring(10**9))
    reads = 0
    while world.read():
        reads += 1
        world.take()
        assert reads < 5
    assert world.feed.live
    world.head = 5
    world.feed.on_ring(ring(5))
    world.settle()
    assert world.got == [5]


def test_a_new_epoch_resets():
    world = live(4)
    world.epoch, world.head = "e2", 2
    world.feed.on_ring(ring(2, "e2"))
    world.settle()
    assert [item.reason for item in world.items if isinstance(item, ResetTo)] == ["epoch"]
    assert world.feed.epoch == "e2"
    assert world.feed.live


def test_a_log_that_went_back_resets():
    world = live(4)
    world.head = 2
    world.feed.on_tail("e1", 2, "tail")
    world.settle()
    assert [item.reason for item in world.items if isinstance(item, ResetTo)] == ["ahead"]


def test_a_sync_replays_and_says_when_it_is_done():
    world = live(6)
    world.feed.sync(Position("e1", 3))
    world.settle()
    assert world.got == [4, 5, 6]
    assert world.items[-1] == CaughtUp(6)
    assert not any(isinstance(item, Opened) for item in world.items)


ACTIONS = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 3), st.sampled_from(["ring", "lose", "late", "twice"])),
    st.tuples(st.just("late_ring"), st.integers(0, 5), st.just("")),
    st.tuples(st.just("read"), st.integers(0, 3), st.sampled_from(["", "sync"])),
    st.tuples(st.just("take"), st.integers(1, 5), st.just("")),
    st.tuples(st.just("check"), st.just(0), st.just("")),
    st.tuples(st.just("sync"), st.integers(0, 4), st.just("")),
)


class Unruly:
    """A world whose doorbell and reader misbehave as told, and what goes over the wire meanwhile."""

    def __init__(self, start: int, since: Position | None) -> None:
        self.feed = feed(queue_events=4, replay_max=1000)
        self.world = World(self.feed, head=start)
        self.begin = start if since is None else since.seq
        self.late: list[int] = []
        self.wire: list[int] = []
        self.feed.open(since)

    def do(self, verb: str, number: int, how: str) -> None:
        getattr(self, verb)(number, how)

    def commit(self, number: int, how: str) -> None:
        for _ in range(number):
            self.world.head += 1
            if how in {"ring", "twice"}:
                self.feed.on_ring(ring(self.world.head))
            if how in {"late", "twice"}:
                self.late.append(self.world.head)

    def late_ring(self, number: int, _how: str) -> None:
        if self.late:
            self.feed.on_ring(ring(self.late.pop(number % len(self.late))))

    def read(self, number: int, how: str) -> None:
        if self.feed.need is not Need.PAGE:
            self.world.read()
            return
        page = self.world.page(self.feed.last)
        self.commit(number, "ring")
        if how == "sync":
            self.sync(number, "")
        self.feed.on_page(page)

    def take(self, number: int, _how: str = "") -> None:
        self.wire += [item.seq for item in self.feed.take(number) if isinstance(item, Event)]
        self.feed.sent()

    def check(self, _number: int, _how: str) -> None:
        if self.feed.opened:
            self.feed.on_tail("e1", self.world.head, "tail")

    def sync(self, number: int, _how: str) -> None:
        if self.feed.opened:
            last = self.wire[-1] if self.wire else self.begin
            self.feed.sync(Position("e1", max(self.begin, last - number)))

    def come_to_rest(self) -> None:
        rest = False
        while not rest:
            rest = not self.world.read() and not self.feed.waiting
            self.take(100)


@settings(max_examples=400)
@given(start=st.integers(0, 6), cursor=st.none() | st.integers(0, 6), actions=st.lists(ACTIONS, max_size=60))
def test_each_event_once_and_in_order_whatever_rings(start, cursor, actions):
    """Rings lost, late, doubled, out of order; old pages; a reader that takes when it likes."""
    unruly = Unruly(start, None if cursor is None else Position("e1", min(cursor, start)))
    for action in actions:
        unruly.do(*action)
    unruly.come_to_rest()
    unruly.check(0, "")
    unruly.come_to_rest()
    # What a client makes of the wire: drop what it has, never meet a hole.
    seen = unruly.begin
    if cursor is None:
        seen = unruly.wire[0] - 1 if unruly.wire else unruly.world.head
    for seq in unruly.wire:
        assert seq <= seen + 1, unruly.wire
        seen = max(seen, seq)
    assert seen == unruly.world.head


def test_a_page_that_was_asked_for_before_a_sync_brings_nothing_twice():
    world = live(3)
    world.head = 7
    world.feed.on_tail("e1", 7, "tail")
    page = world.page(3, limit=4)
    world.feed.sync(Position("e1", 5))
    world.feed.on_page(page)
    world.settle()
    assert world.got == [6, 7]
