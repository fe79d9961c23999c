"""The pure rules: backoff, budget, what a supervisor does next, histograms."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import Actor, Backoff, Budget, ChildSpec, Histogram, PoisonMessage, SupervisorSpec
from supervision.budget import RestartWindow
from supervision.errors import DependencyUnavailable
from supervision.failure import FailureKind, classify_by_type
from supervision.plan import Phase, Place, affected_by, is_settled, next_steps

seconds = st.floats(0, 1e4, allow_nan=False)


@given(st.floats(0.001, 10), st.floats(1, 4), st.floats(0, 1), st.integers(1, 10_000), st.integers())
def test_backoff_grows_to_its_bound_and_jitter_only_shortens(initial_s, factor, jitter, attempt, seed):
    backoff = Backoff(initial_s, 60.0, factor, jitter)
    delay_s = backoff.delay_s(attempt, random.Random(seed))
    full_s = min(60.0, initial_s * factor ** min(attempt - 1, 64))
    assert full_s * (1 - jitter) - 1e-9 <= delay_s <= full_s <= 60.0


@pytest.mark.parametrize(
    "wrong",
    [{"initial_s": -1}, {"initial_s": 5, "max_s": 1}, {"factor": 0.5}, {"jitter": 2}, {"jitter": -0.1}],
)
def test_a_backoff_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="backoff needs"):
        Backoff(**wrong)


@given(st.integers(0, 5), st.floats(0.1, 100), st.lists(seconds, max_size=30))
def test_a_window_counts_exactly_the_restarts_within_its_period(restarts_max, within_s, gaps_s):
    window = RestartWindow(Budget(restarts_max, within_s))
    moments_s, now_s = [], 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        moments_s.append(now_s)
        recent = [moment for moment in moments_s if moment > now_s - within_s]
        assert window.charge(now_s) is (len(recent) <= restarts_max)


@pytest.mark.parametrize(("restarts_max", "within_s"), [(-1, 1.0), (1, 0.0), (1, -1.0)])
def test_a_budget_that_makes_no_sense_is_refused(restarts_max, within_s):
    with pytest.raises(ValueError, match="budget needs"):
        Budget(restarts_max, within_s)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "without '/'"),
        ({"restart": "always"}, "permanent"),
        ({"stop_timeout_s": -1}, "negative"),
    ],
)
def test_a_wrong_child_spec_says_what_is_wrong(wrong, says):
    with pytest.raises(ValueError, match=says):
        ChildSpec(**{"name": "a", "factory": object, **wrong})


def test_a_supervisor_spec_refuses_twins_and_unknown_strategies():
    twin = ChildSpec("a", Actor)
    with pytest.raises(ValueError, match="two children of one name: a"):
        SupervisorSpec((twin, twin))
    with pytest.raises(ValueError, match="one_for_one"):
        SupervisorSpec((), "some_for_some")  # type: ignore[arg-type]


def test_failures_are_sorted_by_type():
    assert classify_by_type(PoisonMessage()) is FailureKind.POISON
    assert classify_by_type(DependencyUnavailable()) is FailureKind.DEPENDENCY
    assert classify_by_type(SystemExit()) is FailureKind.BUG


@pytest.mark.parametrize(
    ("strategy", "whom"), [("one_for_one", [2]), ("one_for_all", [0, 1, 2, 3]), ("rest_for_one", [2, 3])]
)
def test_whom_a_failure_takes_along(strategy, whom):
    assert list(affected_by(strategy, 2, 4)) == whom


# The plan.


@dataclass
class Member:
    place: Place
    recycle: bool = False
    not_before_s: float = 0.0


members = st.lists(
    st.builds(Member, st.sampled_from(list(Place)), st.booleans(), st.sampled_from([0.0, 5.0])), max_size=6
)
strategies = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])


@given(members, strategies, st.sampled_from(list(Phase)))
def test_a_plan_never_starts_while_anything_must_go_down(family, strategy, phase):
    steps = next_steps(family, strategy, phase, 1.0)
    verbs = {step.verb for step in steps}
    if phase in (Phase.HALTING, Phase.CLOSING):
        assert "start" not in verbs
        assert len(steps) <= 1
    if any(one.recycle and one.place not in (Place.DOWN, Place.CLOSED) for one in family):
        assert "start" not in verbs
    for step in steps:
        if step.verb == "start":
            assert family[step.index].place is Place.DOWN
            assert family[step.index].not_before_s <= 1.0


@given(members, strategies, st.sampled_from(list(Phase)))
def test_ordered_phases_go_one_by_one(family, strategy, phase):
    """Downs from the last, ups from the first; in a strict strategy only when those before it are up."""
    steps = next_steps(family, strategy, phase, 1.0)
    for step in steps:
        if step.verb != "start":
            concerned = [
                index
                for index, one in enumerate(family)
                if one.place not in (Place.CLOSED, Place.DOWN)
                and (phase in (Phase.HALTING, Phase.CLOSING) or one.recycle)
            ]
            assert phase is Phase.CLOSING or step.index == max(concerned)
        elif strategy != "one_for_one" or phase is Phase.STARTING:
            assert all(one.place in (Place.UP, Place.CLOSED) for one in family[: step.index])


@given(members, strategies, st.sampled_from(list(Phase)), st.randoms(use_true_random=False))
def test_every_plan_comes_to_its_end(family, strategy, phase, chance):
    """Whatever order the events come in, doing the steps ends in a settled family, in bounded time."""
    for _ in range(100):
        if is_settled(family, phase) and not any(one.recycle and one.place is Place.UP for one in family):
            return
        for step in next_steps(family, strategy, phase, 10.0):
            family[step.index].place = Place.STARTING if step.verb == "start" else Place.GOING_DOWN
        moving = [one for one in family if one.place in (Place.STARTING, Place.GOING_DOWN)]
        if moving:
            one = chance.choice(moving)
            if one.place is Place.STARTING:
                one.place = Place.UP
            else:
                one.place = Place.CLOSED if phase is Phase.CLOSING else Place.DOWN
                one.recycle = False
    raise AssertionError(family)


# Histograms.


@given(st.lists(st.floats(1e-7, 100), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_an_upper_bound_within_a_factor_of_two(durations_s, share):
    histogram = Histogram()
    for duration_s in durations_s:
        histogram.add(duration_s)
    rank = max(1, -(-len(durations_s) * share // 1))
    exact_s = sorted(durations_s)[int(rank) - 1]
    assert histogram.count == len(durations_s)
    assert exact_s <= histogram.quantile_s(share) <= max(2 * exact_s, 2e-6)
    assert Histogram().quantile_s(share) == 0.0
