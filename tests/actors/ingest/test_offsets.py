"""The low-water mark: nothing is committed before what it stands for stands."""

from hypothesis import given
from hypothesis import strategies as st

from actors.ingest.breaker import BreakerLimits
from actors.ingest.offsets import Window, WindowLimits, Windows

OFFSETS = st.lists(st.integers(0, 500), unique=True, min_size=1, max_size=60).map(sorted)


@given(OFFSETS, st.data())
def test_the_mark_never_passes_an_open_record_and_never_goes_back(offsets, data):
    window = Window("p")
    to_finish = data.draw(st.permutations(offsets))
    to_register = list(offsets)
    registered: set[int] = set()
    finished: set[int] = set()
    last = -1
    for turn in data.draw(st.lists(st.sampled_from(["register", "finish", "commit"]), max_size=200)):
        if turn == "register" and to_register:
            offset = to_register.pop(0)
            assert window.register([offset], 0.0)
            registered.add(offset)
        elif turn == "finish" and registered - finished:
            offset = next(o for o in to_finish if o in registered - finished)
            window.complete(offset)
            finished.add(offset)
        mark = window.committable()
        open_ones = registered - finished
        if mark is not None:
            assert mark > last
            assert not open_ones or mark <= min(open_ones)
            assert all(o in finished for o in registered if o < mark)
            if turn == "commit":
                window.acknowledged(mark, 0.0)
                last = mark
    for offset in registered:
        window.complete(offset)
    if registered and max(registered) + 1 > last:
        assert window.committable() == max(registered) + 1


def test_nothing_is_committed_of_a_window_that_read_nothing():
    assert Window("p").committable() is None


def test_holes_between_offsets_do_not_hold_the_mark_back():
    window = Window("p")
    for offset in (3, 7, 8):
        window.register([offset], 0.0)
    window.complete(3)
    assert window.committable() == 7
    window.complete(8)
    assert window.committable() == 7
    window.complete(7)
    assert window.committable() == 9


def test_a_record_put_aside_is_not_waited_for_and_not_passed():
    window = Window("p")
    window.register([1], 0.0)
    window.register([2], 0.0)
    window.complete(2)
    window.put_aside(1)
    assert window.running == 0
    assert window.committable() == 1
    assert window.take_up(1)
    assert window.running == 1


def test_a_leaving_window_takes_no_record_up():
    window = Window("p")
    window.register([1], 0.0)
    window.put_aside(1)
    window.leave()
    assert not window.register([2], 0.0)
    assert not window.take_up(1)
    assert window.committable() == 1


def test_a_partition_pauses_by_count_or_span_and_resumes_at_half():
    limits = WindowLimits(in_flight_max=4, span_max=100)
    window = Window("p")
    for offset in (0, 1, 2, 3):
        assert not window.must_pause(limits, 0.0)
        window.register([offset], 0.0)
    assert window.must_pause(limits, 0.0)
    window.complete(3)
    assert not window.may_resume(limits, 0.0)
    window.complete(2)
    assert window.may_resume(limits, 0.0)
    window.register([100], 0.0)
    assert window.must_pause(limits, 0.0), "one slow record must not let the others run away from it"
    assert not window.may_resume(limits, 0.0)


def test_ages_and_lag():
    window = Window("p", now_s=10.0)
    window.end = 9
    assert (window.age_s(11.0), window.commit_age_s(11.0), window.lag) == (0.0, 0.0, 0)
    window.register([4], 11.0)
    assert window.age_s(13.0) == 2.0
    assert window.lag == 5
    window.complete(4)
    assert window.lag == 4
    assert window.commit_age_s(13.0) == 3.0
    window.acknowledged(5, 13.0)
    assert window.commit_age_s(20.0) == 0.0


def test_an_overtaken_answer_does_not_take_the_mark_back():
    window = Window("p")
    window.acknowledged(7, 1.0)
    window.acknowledged(5, 2.0)
    assert window.committed == 7


def test_late_completions_of_an_old_assignment_change_nothing():
    windows = Windows()
    life = windows.claim()
    windows.open(life, ["p"], 0.0)
    old = windows.all()[0]
    old.register([1], 0.0)
    windows.close(life, ["p"])
    windows.open(life, ["p"], 0.0)
    new = windows.all()[0]
    new.register([1], 0.0)
    old.complete(1)
    assert new.committable() == 1
    assert not old.register([2], 0.0)


def test_a_consumer_that_was_given_up_neither_opens_nor_closes():
    windows = Windows()
    old = windows.claim()
    windows.open(old, ["p"], 0.0)
    current = windows.claim()
    assert windows.all() == []
    windows.open(current, ["q"], 0.0)
    windows.open(old, ["p"], 0.0)
    windows.close(old, ["q"])
    assert [w.topic_partition for w in windows.all()] == ["q"]
    assert windows.is_current(current)
    assert not windows.is_current(old)


def test_a_partition_that_parks_too_much_pauses_and_tries_again():
    window = Window("p", breaker=BreakerLimits(consecutive_max=3, pause_s=10.0))
    limits = WindowLimits()
    for _ in range(3):
        window.breaker.note(0.0, parked=True)
    assert window.must_pause(limits, 5.0)
    assert not window.may_resume(limits, 5.0)
    assert window.may_resume(limits, 10.0)
