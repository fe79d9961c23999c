"""The timetable of faults."""

from collections import Counter

import pytest

from tests.chaos.faults import KINDS, draw

SESSION_TIMEOUT_S = 3.0


def hours(seed):
    return draw(seed, duration_s=3_600.0, nodes=3, brokers=3, session_timeout_s=SESSION_TIMEOUT_S)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_one_timetable_and_a_subject_has_one_fault_at_a_time(seed):
    acts = hours(seed)
    assert acts == hours(seed)
    assert acts != hours(seed + 1)
    assert {act.kind for act in acts} == set(KINDS)
    open_now: Counter[tuple[str, int]] = Counter()
    for act in acts:
        subject = act.kind.split()[1]
        key = (subject, act.number if subject == "node" else 0)
        open_now[key] += 1 if act.begins else -1
        assert open_now[key] in {0, 1}
    assert not any(open_now.values())


def test_a_frozen_node_is_away_for_longer_than_the_group_waits():
    began = {}
    for act in hours(1):
        if act.kind == "freeze node":
            if act.begins:
                began[act.number] = act.at_s
            else:
                assert act.at_s - began.pop(act.number) > SESSION_TIMEOUT_S + 1
