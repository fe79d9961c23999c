"""Who owns nothing asks a few times, more and more slowly, and then is a spare."""

from hypothesis import given
from hypothesis import strategies as st

from actors.ingest.share import Share, ShareLimits

LIMITS = ShareLimits(patience_s=4.0, asks=3)


def asked_at(share, until_s, owned=0, since_s=0.0):
    return [float(at) for at in range(int(since_s), int(until_s)) if share.must_ask(owned, float(at))]


def test_it_asks_each_time_after_twice_as_long_and_then_no_more():
    share = Share(LIMITS)
    assert asked_at(share, 10_000) == [4.0, 12.0, 28.0]
    assert share.spare
    assert not share.waiting


def test_it_is_a_lack_from_the_first_question_to_the_last():
    share = Share(LIMITS)
    seen = []
    for at in range(40):
        share.must_ask(0, float(at))
        seen.append(share.waiting)
    assert seen.index(True) == 4
    assert seen[4:28] == [True] * 24
    assert not any(seen[28:])


def test_whoever_gets_a_partition_and_loses_it_begins_anew():
    share = Share(LIMITS)
    asked_at(share, 10_000)
    assert asked_at(share, 10_010, owned=2, since_s=10_000) == []
    assert not share.spare
    assert asked_at(share, 11_000, since_s=10_010) == [10_014.0, 10_022.0, 10_038.0]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 30.0)), max_size=60))
def test_nobody_with_a_partition_asks_and_questions_in_a_row_are_bounded(looks):
    share, now_s, in_a_row = Share(LIMITS), 0.0, 0
    for owned, later_s in looks:
        now_s += later_s
        asks = share.must_ask(owned, now_s)
        assert not (owned and asks)
        in_a_row = 0 if owned else in_a_row + asks
        assert in_a_row <= LIMITS.asks
