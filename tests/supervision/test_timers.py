import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import ActorDeadError, MailboxFull, ManualClock, SystemClock, Timer, Timers
from tests.support.waiting import wait_until


class Box:
    """Takes messages with the moment they came."""

    def __init__(self, clock):
        self.clock = clock
        self.got = []
        self.refusal = None

    def tell(self, message):
        if self.refusal is not None:
            raise self.refusal
        self.got.append((round(self.clock.monotonic() - 1000.0, 6), message))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def lost():
    return []


@pytest.fixture
def timers(clock, lost):
    return Timers(clock, on_lost=lambda ref, message: lost.append(message))


def test_a_tell_comes_at_its_moment_and_once(clock, timers):
    box = Box(clock)
    timers.tell_after(2.0, box, "later")
    timers.tell_after(1.0, box, "sooner")
    clock.advance(0.999)
    assert box.got == []
    clock.advance(10)
    assert box.got == [(1.0, "sooner"), (2.0, "later")]
    assert len(timers) == 0


def test_a_beat_repeats_without_drift_until_cancelled(clock, timers):
    box = Box(clock)
    timer = timers.tell_every(1.0, box, "beat")
    clock.advance(2.5)
    clock.advance(1.0)
    timer.cancel()
    timer.cancel()
    clock.advance(10)
    assert [at for at, _ in box.got] == [1.0, 2.0, 3.0]
    assert not timer.active


def test_missed_beats_are_skipped(clock, timers):
    box = Box(clock)
    timers.tell_every(1.0, box, "beat")
    clock.move_to(1004.5)
    timers.fire_next(clock.monotonic())
    assert len(box.got) == 1
    assert timers.next_due_s() == 1005.0


def test_an_interval_must_be_positive(clock, timers):
    with pytest.raises(ValueError, match="positive"):
        timers.tell_every(0, Box(clock), "x")


@pytest.mark.parametrize("refusal", [ActorDeadError(), MailboxFull()])
def test_a_tell_that_nobody_takes_is_reported(clock, timers, lost, refusal):
    box = Box(clock)
    box.refusal = refusal
    timers.tell_after(1.0, box, "lost")
    clock.advance(1.0)
    assert lost == ["lost"]


def test_a_beat_ends_with_its_actor_but_not_with_a_full_mailbox(clock, timers):
    box = Box(clock)
    timer = timers.tell_every(1.0, box, "beat")
    box.refusal = MailboxFull()
    clock.advance(1.0)
    assert timer.active
    box.refusal = ActorDeadError()
    clock.advance(1.0)
    assert not timer.active


def test_an_action_that_fails_does_not_stop_the_others(clock, timers, caplog):
    box = Box(clock)

    def fails():
        raise RuntimeError("no")

    timers.call_after(1.0, fails)
    timers.tell_after(2.0, box, "after")
    clock.advance(3.0)
    assert box.got
    assert "a timer's action failed" in caplog.text


def test_what_was_cancelled_is_dropped_from_memory(clock, timers):
    box = Box(clock)
    for number in range(5000):
        timers.tell_after(100.0 + number, box, number).cancel()
    assert len(timers) == 0
    assert len(timers._heap) < 2500
    assert timers.next_due_s() is None


def test_timers_of_an_actor_can_be_listed(clock, timers):
    box, other = Box(clock), Box(clock)
    timer = timers.tell_every(1.0, box, "x")
    timers.tell_after(1.0, other, "y")
    assert timers.of(box) == [timer]


def test_real_time_fires_in_order_and_stop_ends_the_thread(lost):
    timers = Timers(SystemClock(), on_lost=lambda ref, message: lost.append(message), name="real-timers")
    box = Box(SystemClock())
    timers.tell_after(0.03, box, 2)
    timers.tell_after(0.01, box, 1)
    wait_until(lambda: [message for _, message in box.got] == [1, 2], 5.0)
    timers.stop()
    assert timers.tell_after(0.0, box, 3).active is False
    assert not [thread for thread in threading.enumerate() if thread.name == "real-timers"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.floats(0, 10)),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("advance"), st.floats(0, 5)),
        ),
        max_size=40,
    )
)
def test_any_mix_fires_each_timer_once_at_its_moment_unless_cancelled_before(script):
    clock = ManualClock()
    timers = Timers(clock, on_lost=lambda ref, message: None)
    fired: list[tuple[int, float]] = []
    expected: dict[int, float] = {}
    made: list[Timer] = []

    def fire(number):
        fired.append((number, clock.monotonic()))

    for verb, value in script:
        if verb == "add":
            number, due_s = len(made), clock.monotonic() + value
            made.append(timers.call_after(value, partial(fire, number)))
            expected[number] = due_s
        elif verb == "cancel" and value < len(made):
            if value not in dict(fired):
                expected.pop(value, None)
            made[value].cancel()
        elif verb == "advance":
            clock.advance(value)
    clock.advance(100)
    assert dict(fired) == pytest.approx(expected)
    assert len(fired) == len(expected)
    assert [at for _, at in fired] == sorted(at for _, at in fired)
    assert len(timers) == 0
