"""How long a poll rests before it asks for more."""

from hypothesis import given
from hypothesis import strategies as st

from actors.gathering import FROM_PER_S, MOST_S, TOGETHER, Gathering


def polled(gathering, per_s, seconds, *, work_s=0.002, from_s=0.0):
    """Poll as a node does while so many records a second come: its rests, and the second it is then."""
    rests, now_s, read_s, left = [], from_s, from_s, 0.0
    while now_s < from_s + seconds:
        rest_s = gathering.rest_s(now_s)
        rests.append(rest_s)
        now_s += rest_s + work_s
        left += (now_s - read_s) * per_s
        records, read_s = int(left), now_s
        left -= records
        gathering.came(records, now_s)
    return rests, now_s


def test_while_little_comes_nobody_waits():
    rests, _ = polled(Gathering(), FROM_PER_S / 3, 5.0)
    assert set(rests) == {0.0}


@given(per_s=st.floats(FROM_PER_S * 1.5, 5_000))
def test_while_much_comes_a_poll_brings_many(per_s):
    gathering = Gathering()
    _, now_s = polled(gathering, per_s, 5.0)
    rests, ended_s = polled(gathering, per_s, 2.0, from_s=now_s)
    together = (ended_s - now_s) * per_s / len(rests)
    # what comes within the longest rest, where that is less
    assert together >= 0.8 * min(TOGETHER, MOST_S * per_s)


def test_a_poll_that_is_late_anyhow_does_not_rest():
    gathering = Gathering()
    _, now_s = polled(gathering, 2_000, 5.0)
    rests, _ = polled(gathering, 2_000, 2.0, work_s=0.05, from_s=now_s)
    assert set(rests[1:]) == {0.0}


def test_nobody_rests_while_the_broker_has_enough_already():
    gathering = Gathering()
    _, now_s = polled(gathering, 2_000, 5.0)
    assert gathering.rest_s(now_s + 0.001, TOGETHER) == 0.0
    assert gathering.rest_s(now_s + 0.002, TOGETHER - 1) > 0.0


def test_when_the_rush_is_over_nobody_waits_any_more():
    gathering = Gathering()
    _, now_s = polled(gathering, 3_000, 5.0)
    _, now_s = polled(gathering, 0, 2.0, from_s=now_s)
    rests, _ = polled(gathering, 100, 5.0, from_s=now_s)
    assert set(rests) == {0.0}


def test_one_poll_with_many_records_is_no_rush():
    """A backlog that is read at once, and then silence."""
    gathering = Gathering()
    gathering.came(0, 0.0)
    gathering.came(100, 0.001)
    assert gathering.rest_s(0.001) == 0.0


@given(st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 60)), max_size=30))
def test_a_rest_is_never_longer_than_its_bound(polls):
    gathering, now_s = Gathering(), 0.0
    for records, after_s in polls:
        assert 0 <= gathering.rest_s(now_s) <= MOST_S
        now_s += after_s
        gathering.came(records, now_s)
