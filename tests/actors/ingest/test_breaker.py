"""When nearly everything is parked, the partition waits."""

from hypothesis import given
from hypothesis import strategies as st

from actors.ingest.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(
    consecutive_max=5, ratio_max=0.5, sample=20, probe_max=2, pause_s=10.0, pause_max_s=35.0
)


def feed(breaker, answers, now_s=0.0):
    return [breaker.note(now_s, parked=parked) for parked in answers]


def test_it_opens_after_so_many_in_a_row():
    breaker = Breaker(LIMITS)
    assert feed(breaker, [True] * 4 + [False] + [True] * 5) == [False] * 9 + [True]
    assert breaker.is_open(9.9)
    assert not breaker.is_open(10.0)


def test_it_opens_at_the_share_of_a_full_sample_only():
    breaker = Breaker(LIMITS)
    assert not any(feed(breaker, [True, True, False] * 6 + [True]))
    assert feed(breaker, [True]) == [True]


def test_half_of_the_sample_is_still_well():
    assert not any(feed(Breaker(LIMITS), [True, False] * 200))


def test_after_a_pause_few_are_tried_and_pauses_grow_to_their_bound():
    breaker = Breaker(LIMITS)
    feed(breaker, [True] * 5)
    now_s, pauses = 10.0, []
    for _ in range(4):
        assert feed(breaker, [True] * 2, now_s) == [False, True]
        start_s = now_s
        while breaker.is_open(now_s):
            now_s += 0.5
        pauses.append(now_s - start_s)
    assert pauses == [20.0, 35.0, 35.0, 35.0]


def test_a_good_sample_makes_it_forget():
    breaker = Breaker(LIMITS)
    feed(breaker, [True] * 5)
    feed(breaker, [False] * 20, 10.0)
    assert breaker.trips == 0
    assert not any(feed(breaker, [True] * 4, 10.0))


@given(answers=st.lists(st.booleans(), max_size=200))
def test_the_quick_way_to_count_what_stands_changes_nothing(answers):
    quick, slow = Breaker(LIMITS), Breaker(LIMITS)
    for now_s, parked in enumerate(answers):
        said = not parked and quick.stands()
        opened = quick.note(float(now_s), parked=parked) if not said else False
        assert opened == slow.note(float(now_s), parked=parked)
        assert (quick.trips, quick.is_open(now_s)) == (slow.trips, slow.is_open(now_s))


def test_what_was_in_flight_when_it_opened_does_not_count():
    breaker = Breaker(LIMITS)
    feed(breaker, [True] * 5)
    assert not any(feed(breaker, [True] * 100, 1.0))
    assert breaker.trips == 1


@given(st.lists(st.booleans(), max_size=300))
def test_it_never_opens_on_few_parked_records(answers):
    limits = BreakerLimits(consecutive_max=1_000, ratio_max=1.0, sample=10)
    assert not any(feed(Breaker(limits), answers))
