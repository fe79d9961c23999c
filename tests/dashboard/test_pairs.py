"""The statistic by which the bench judges small costs."""

import random
import statistics

import pytest

from bench.pairs import paired


def noisy(rng, cost):
    """Pairs of blocks on a machine that drifts by 30 % and is disturbed now and then."""
    ours, theirs = [], []
    for number in range(60):
        pace = 1.0 + 0.3 * number / 60
        theirs.append(pace * rng.gauss(1.0, 0.02) * (1.5 if rng.random() < 0.03 else 1.0))
        ours.append(pace * (1.0 + cost) * rng.gauss(1.0, 0.02) * (1.5 if rng.random() < 0.03 else 1.0))
    return ours, theirs


@pytest.mark.parametrize("cost", [0.0, 0.03])
def test_the_interval_holds_the_truth_nearly_always_and_is_narrow(cost):
    rng = random.Random(7)
    found = [paired(*noisy(rng, cost)) for _ in range(200)]
    held = sum(one.low <= 1.0 + cost <= one.high for one in found)
    assert held >= 180
    assert statistics.median(one.high - one.low for one in found) < 0.02


def test_a_cost_above_the_bound_is_seen():
    rng = random.Random(8)
    assert all(paired(*noisy(rng, 0.05)).low > 1.01 for _ in range(50))


def test_too_few_pairs_promise_nothing():
    assert paired([1.0, 2.0], [1.0, 2.0]) == (1.0, float("-inf"), float("inf"))
    with pytest.raises(ValueError, match="no pairs"):
        paired([], [])
