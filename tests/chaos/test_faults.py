"""The timetable of faults."""

from collections import Counter

import msgspec
import pytest

from tests.chaos.faults import KINDS, draw
from tests.chaos.report import markdown
from tests.chaos.storm import QUICK, QUICK_SEEDS, Found

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


def test_the_storms_of_a_build_server_have_every_kind_of_fault():
    kinds = set()
    for seed in QUICK_SEEDS:
        acts = draw(
            seed,
            duration_s=QUICK.duration_s,
            nodes=3,
            brokers=1,
            session_timeout_s=SESSION_TIMEOUT_S,
            pause_s=QUICK.pause_s,
        )
        kinds |= {act.kind for act in acts}
    assert kinds == set(KINDS)


def test_the_report_names_every_fault_and_what_the_audit_found():
    clean = Found(
        seed=1,
        nodes=3,
        brokers=1,
        faults=["   1.0 s  kill node 2", "   4.0 s  kill node 2: healed", "   5.0 s  kill Redis"],
        deliveries=20,
        purchases=10,
        seconds=30.0,
        wrong=[],
    )
    broken = msgspec.structs.replace(clean, seed=2, wrong=["1 payments were lost, such as p7"])
    text = markdown([clean, broken])
    assert "1 of 2 storms were survived" in text
    assert "| 1 | 3 | 1 | 20 | 10 | 2 | 30 | clean |" in text
    assert "| 2 | 3 | 1 | 20 | 10 | 2 | 30 | 1 FINDINGS |" in text
    assert "kill node 2" in text
    assert "kill Redis 2" in text
    assert "such as p7" in text


def test_a_frozen_node_is_away_for_longer_than_the_group_waits():
    began = {}
    for act in hours(1):
        if act.kind == "freeze node":
            if act.begins:
                began[act.number] = act.at_s
            else:
                assert act.at_s - began.pop(act.number) > SESSION_TIMEOUT_S + 1
