"""Threads: fairness, many senders, futures across the border to asyncio, mailbox bounds, snapshots."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import (
    Actor,
    ActorDeadError,
    ActorStartFailed,
    ChildSpec,
    Future,
    MailboxFull,
    Router,
    as_asyncio,
    supervisor,
)
from supervision.mailbox import Mailbox
from tests.supervision.looking import at
from tests.support.waiting import wait_until

PATIENCE_S = 10.0


class Recorder(Actor):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def on_receive(self, message):
        self.log.append(message)
        return message


# Many senders, few threads.


@pytest.mark.parametrize("threads", [1, 3])
def test_order_per_sender_and_never_two_turns_of_one_actor_at_once(make_system, threads):
    system = make_system("crowd", shared_threads=threads)
    overlaps = []

    class Exclusive(Recorder):
        inside = False

        def on_receive(self, message):
            if self.inside:
                overlaps.append(message)
            self.inside = True
            super().on_receive(message)
            self.inside = False

    logs: list[list[Any]] = [[] for _ in range(20)]
    refs = [
        system.start_child(None, ChildSpec(str(number), partial(Exclusive, log)))
        for number, log in enumerate(logs)
    ]

    def send(sender):
        for number in range(500):
            for ref in refs:
                ref.tell((sender, number))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(3)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join(60)
    wait_until(lambda: all(len(log) == 1500 for log in logs), PATIENCE_S)
    for log in logs:
        for sender in range(3):
            assert [number for one, number in log if one == sender] == list(range(500))
    assert overlaps == []
    wait_until(lambda: system.account().error == 0, PATIENCE_S)
    assert system.account().handled >= 30_000


def test_a_flooded_neighbour_does_not_hold_up_the_others(system):
    flooded = system.start_child(None, ChildSpec("flooded", lambda: Recorder([]), drain=False))
    behind = []

    class Quiet(Actor):
        def on_receive(self, message):
            behind.append(flooded.cell.depth)

    quiet = system.start_child(None, ChildSpec("quiet", Quiet))
    system.suspend(flooded)
    for number in range(50_000):
        flooded.tell(number)
    wait_until(lambda: flooded.cell.suspended, PATIENCE_S)
    system.resume(flooded)
    quiet.ask("hello", timeout=PATIENCE_S)
    assert behind[0] > 0, "the quiet one had its turn while the flood was still on"


def test_a_turn_is_bounded_in_time(make_system):
    system = make_system("slow", turn_s=0.001)
    turns = []
    gate = threading.Event()

    class Slow(Actor):
        def on_receive(self, message):
            gate.wait(0.002)

    class Other(Actor):
        def on_receive(self, message):
            turns.append(slow.cell.handled)

    slow = system.start_child(None, ChildSpec("slow", Slow))
    other = system.start_child(None, ChildSpec("other", Other))
    system.suspend(slow)
    for _ in range(30):
        slow.tell("x")
    system.resume(slow)
    wait_until(lambda: slow.cell.handled > 0, PATIENCE_S)
    other.ask("now", timeout=PATIENCE_S)
    assert turns[0] < 30


def test_pinned_actors_have_threads_of_their_own_that_end_with_them(make_system):
    system = make_system("pins")
    names = []

    class Pinned(Actor):
        dispatcher = "pinned"

        def on_receive(self, message):
            names.append(threading.current_thread().name)

    refs = [system.start_child(None, ChildSpec(name, Pinned)) for name in ("a", "b")]
    for ref in refs:
        ref.ask("where", timeout=PATIENCE_S)
    assert names == ["pins-a", "pins-b"]
    system.stop_child(refs[0])
    wait_until(lambda: "pins-a" not in [thread.name for thread in threading.enumerate()], PATIENCE_S)


def test_a_dispatcher_can_be_added_by_name(make_system):
    system = make_system("more")
    system.add_dispatcher("io", threads=2)
    with pytest.raises(ValueError, match="exists"):
        system.add_dispatcher("io", threads=2)
    ref = system.start_child(None, ChildSpec("a", lambda: Recorder([]), dispatcher="io"))
    assert ref.ask("x", timeout=PATIENCE_S) == "x"
    with pytest.raises(ActorStartFailed, match="failed in init") as refusal:
        system.start_child(None, ChildSpec("b", lambda: Recorder([]), dispatcher="nowhere"))
    assert "no dispatcher 'nowhere'" in str(refusal.value.__cause__)


def test_stop_twice_and_stop_unused(make_system):
    assert make_system("unused").stop() is True
    system = make_system("twice")
    system.start_child(None, ChildSpec("a", lambda: Recorder([])))
    assert system.stop() is True
    assert system.stop() is True
    with pytest.raises(ActorDeadError):
        system.start_child(None, ChildSpec("late", lambda: Recorder([])))


def test_systems_know_nothing_of_each_other(make_system):
    first, second = make_system("first"), make_system("second")
    first.start_child(None, ChildSpec("a", lambda: Recorder([])))
    assert second.ref("a") is None
    second.stop()
    assert at(first, "a").ask("still", timeout=PATIENCE_S) == "still"


def test_a_stopped_actor_and_its_cell_are_freed_without_the_collector(make_system):
    system = make_system("freed")
    router = Router(lambda key: Recorder([]), idle_s=0.05)
    system.start_child(None, router.spec())
    gc.collect()
    gc.disable()
    try:
        router.tell("k", 1)
        behaviour = _behaviour_of(router, "k")
        wait_until(lambda: router.active == 0, PATIENCE_S)
        # The directory still has it in its list of new ones until the next look.
        router.roster.fresh()
        wait_until(lambda: behaviour() is None, PATIENCE_S)
    finally:
        gc.enable()


def test_a_plain_program_ends_when_its_actors_do():
    """As with Pykka: the process lives while an actor does, and ends without a word when the last one stopped."""
    program = """
import supervision
class A(supervision.Actor):
    def on_receive(self, message):
        if message:
            self.actor_ref.tell(message - 1)
        else:
            print("last words", flush=True)
            self.stop()
A.start().tell(1000)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout == "last words\n"
    assert done.stderr == ""


def _behaviour_of(router, key):
    cell = at(router, key).cell
    wait_until(lambda: cell.behaviour is not None or cell.closed, PATIENCE_S)
    return weakref.ref(cell.behaviour)


# Futures.


def test_callbacks_run_once_whenever_they_are_added():
    future: Future[int] = Future()
    seen: list[int] = []
    future.add_done_callback(lambda done: seen.append(done.get(timeout=0)))
    future.set(1)
    future.add_done_callback(lambda done: seen.append(done.get(timeout=0) + 1))
    assert seen == [1, 2]
    assert future.done()


def test_awaiting_does_not_block_the_loop(system):
    gate = threading.Event()

    class Slow(Actor):
        dispatcher = "pinned"

        def on_receive(self, message):
            gate.wait(PATIENCE_S)
            return "slept"

    ref = system.start_child(None, ChildSpec("slow", Slow))

    async def main():
        pending = as_asyncio(ref.ask("x", block=False))
        await asyncio.wait_for(asyncio.sleep(0), 1)
        assert not pending.done()
        gate.set()
        return await pending

    assert asyncio.run(main()) == "slept"


def test_mapped_futures_can_be_awaited_too(system):
    ref = system.start_child(None, ChildSpec("a", lambda: Recorder([])))

    async def main():
        return await as_asyncio(ref.ask(20, block=False).map(lambda value: value + 1))

    assert asyncio.run(main()) == 21


def test_an_answer_for_a_closed_loop_is_dropped():
    future: Future[Any] = Future()

    async def main():
        as_asyncio(future)

    asyncio.run(main())
    future.set("nobody is there")


def test_a_cancelled_wait_is_no_trouble_for_the_answer():
    future: Future[Any] = Future()

    async def main():
        pending = as_asyncio(future)
        pending.cancel()
        future.set(1)
        await asyncio.sleep(0)
        assert pending.cancelled()

    asyncio.run(main())


# The mailbox by itself.


class Scheduled(Mailbox):
    def __init__(self, limit=None):
        super().__init__(lambda: 0.0, limit)
        self.is_open = True
        self.times = 0

    def schedule(self):
        self.times += 1


@given(
    st.lists(
        st.sampled_from(["offer", "post", "take", "turn", "open", "shut", "close_if_empty"]), max_size=60
    ),
    st.integers(1, 5),
)
def test_a_mailbox_is_scheduled_exactly_while_it_has_work(script, limit):  # noqa: C901 - a small model
    box = Scheduled(limit)
    worker = type("W", (), {"cell": box})()
    accepted = taken = 0
    for verb in script:
        if verb == "offer":
            try:
                accepted += box.offer("m")
            except MailboxFull:
                assert len(box.queue) == limit
        elif verb == "post":
            box.post(lambda: None)
        elif verb == "take" and box.queue and box.is_open:
            box.queue.popleft()
            taken += 1
        elif verb == "turn" and box.scheduled:
            if box.control:
                box.control.popleft()
            if not box.end_turn(worker):
                assert not box.control
                assert not (box.queue and box.is_open)
        elif verb in ("open", "shut"):
            box.set_open(verb == "open")
        elif verb == "close_if_empty" and box.close_if_empty():
            assert not box.queue
        if box.control or (box.queue and box.is_open):
            assert box.scheduled, "work and nobody comes"
        assert accepted - taken == len(box.queue) == box.accepted - taken
    left = box.close()
    assert left is not None
    assert len(left[0]) == accepted - taken
    assert box.close() is None
    assert box.offer("late") is False
    assert box.post(lambda: None) is False


# What is to be seen.


def test_the_snapshot_shows_the_tree(system):
    system.start_child(None, supervisor("core", [ChildSpec("ledger", lambda: Recorder([]))]))
    tree = system.snapshot()
    assert (tree["path"], tree["class"], tree["state"]) == ("/", "Supervisor", "running")
    core = tree["children"][0]
    ledger = core["children"][0]
    assert (core["path"], ledger["path"], ledger["name"]) == ("core", "core/ledger", "ledger")
    assert set(ledger) == {"path", "name", "class", "state", "depth", "oldest_s", "restarts", "children"}


def test_top_lists_name_the_oldest_the_deepest_and_the_most_restarted(system):
    router = Router(lambda key: Recorder([]), idle_s=1000.0)
    system.start_child(None, router.spec())
    for number in range(200):
        router.tell(str(number), "x")
    wait_until(lambda: system.account().queued == 0, PATIENCE_S)
    system.suspend(router.ref("7"))
    system.suspend(router.ref("8"))
    wait_until(lambda: at(router, "8").cell.suspended, PATIENCE_S)
    router.tell("7", "old")
    for _ in range(5):
        router.tell("8", "deep")
    system.restart(router.ref("9"))
    wait_until(lambda: at(router, "9").cell.restarts == 1, PATIENCE_S)
    assert system.top("oldest", 1)[0]["path"] == "directory/7"
    assert system.top("depth", 1)[0]["path"] == "directory/8"
    assert system.top("restarts", 1)[0]["path"] == "directory/9"
    node = next(one for one in system.snapshot(children_max=10)["children"] if one["name"] == "directory")
    assert node["active"] == 200
    assert node["depth_below"] == 6
    assert {child["name"] for child in node["children"]} >= {"7", "8"}


def test_books_count_every_message_and_turn(system):
    ref = system.start_child(None, ChildSpec("a", lambda: Recorder([])))
    for number in range(100):
        ref.tell(number)
    ref.ask("end", timeout=PATIENCE_S)
    wait_until(lambda: system.vitals.by_class()[Recorder].handled == 101, PATIENCE_S)
    book = system.vitals.by_class()[Recorder]
    assert 1 <= book.turns <= 101
    assert book.turn.count == book.wait.count == book.turns
