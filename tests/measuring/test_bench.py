"""The bench's own arithmetic, and the one bound that is cheap enough to hold in every run."""

import json
import math
import os
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import disk, yardstick
from bench.__main__ import GROUPS, NAMED, machine, present
from bench.__main__ import main as measure
from bench.beside import Measured
from bench.clocks import process_s, thread_s
from bench.crowd import memory_of
from bench.felt import Felt
from bench.figures import figure, plots, table
from bench.latency import Repeats
from bench.latency import plots as latency_plots
from bench.others import SAME, Took, Way
from bench.paced import Course, Found, Ran
from bench.shop import Shop
from bench.stages import NODE_ID, _place, divided
from bench.sweeps import bodies, in_child, law, rows_of, student, sweeps
from bench.sweeps import plots as sweep_plots
from kcactors.load.pace import Speed
from kcactors.load.plan import Via

values = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9)


@settings(deadline=None, max_examples=50)
@given(values, values)
def test_a_figure_is_a_median_with_its_spread_and_a_ratio(runs, others):
    base = figure("g", "theirs", others, "ms")
    row = figure("g", "ours", runs, "ms", base)
    assert row["low"] <= row["value"] <= row["high"]
    assert row["ratio"] == row["value"] / base["value"]
    assert (base["ratio"], base["baseline"], row["baseline"]) == (None, None, "theirs")
    text = table([base, row])
    assert ("…" in text) == (len(runs) > 1 or len(others) > 1)
    assert "x theirs" in text
    assert json.loads(json.dumps(row)) == row


def test_every_group_is_there_and_says_what_it_needs():
    assert set(present()) == {*GROUPS, *NAMED}
    assert {"cores", "python", "commit", "load_1m_before", "at"} <= set(machine())


def test_a_group_that_this_machine_cannot_run_is_left_out_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "scale"])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="nothing was measured"):
        measure()
    assert "left out: scale: Java is not installed" in capsys.readouterr().err


def test_a_plot_for_each_unit_shows_the_baseline_in_another_colour():
    base = figure("a group", "theirs", [1.0], "ms")
    drawn = plots(
        [base, figure("a group", "ours", [2.0, 3.0, 4.0], "ms", base), figure("a group", "x", [1], "s")]
    )
    assert list(drawn) == ["a group-1.svg"]
    text = drawn["a group-1.svg"]
    ET.fromstring(text)
    assert text.count('class="f5"') == text.count('class="f0"') == 1
    assert text.count('class="spread"') == 1


@settings(deadline=None, max_examples=50)
@given(st.floats(-50, 50), st.floats(-50, 50))
def test_the_law_is_found_again(start, slope):
    points = [(x, start + slope * math.log10(x)) for x in (1_000, 10_000, 100_000, 1_000_000)]
    assert law(points) == pytest.approx((start, slope), abs=1e-6)


@pytest.mark.parametrize("duplicates", [0.0, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("hot", [0.0, 0.3, 1.0])
def test_deliveries_hold_the_shares_that_were_asked_for(duplicates, hot):
    sent = [json.loads(body) for _, body in bodies(Shop(), "p", 200, 10_000, duplicates=duplicates, hot=hot)]
    assert len(sent) == round(200 / (1 - duplicates))
    assert len({each["payment_id"] for each in sent}) == 200
    assert len({each["event_id"] for each in sent}) == len(sent)
    of_whom = {each["payment_id"]: each["student_id"] for each in sent}
    assert all(of_whom[each["payment_id"]] == each["student_id"] for each in sent)
    most = Counter(of_whom.values())[student(0)]
    assert abs(most - hot * 200) <= (0 if hot in {0.0, 1.0} else 30)


def test_the_points_of_a_sweep_become_a_table_and_a_plot():
    sweep = next(each for each in sweeps(quick=True) if each.name == "students")
    found = {
        x: [{"node_us": 200.0 + n, "postgres_us": 90.0, "per_s": 1e3, "yardstick_us": 145.0 * (1 + n)}]
        for n, x in enumerate((1e3, 1e4, 1e5))
    }
    made = rows_of(sweep, found)
    assert sum(row["unit"] == "us node" for row in made) == 4
    assert [row["ratio"] for row in made if row["unit"] == "us node"][1] == pytest.approx(201 / 200)
    assert [row["value"] for row in made if row["unit"] == "pieces"][:2] == [2.0, pytest.approx(291 / 290)]
    drawn = sweep_plots(made)
    assert list(drawn) == ["sweeps-students.svg"]
    assert drawn["sweeps-students.svg"].count("<polyline") == 4


def test_latencies_of_several_runs_become_one_curve():
    found = Found()
    for run in range(3):
        found.keep("kafka to commit", [0.001 * (run + n) for n in range(1, 101)])
    row = found.row("kafka to commit, p99")
    assert (row["runs"], row["value"]) == (3, 100.0)
    assert row["curve"][-1][1] == 102.0
    assert found.row("kafka to commit, p50")["curve"] is None
    for text in latency_plots([row]).values():
        ET.fromstring(text)


def test_a_threads_clock_is_divided_by_its_samples(tmp_path):
    stacks = tmp_path / "stacks.txt"
    stacks.write_text(
        'thread (0x7): "node-relay";run (threading.py:9);send (actors/publisher/relay.py:3);flush (lib.py:1) 30\n'
        'thread (0x7): "node-relay";run (threading.py:9) 10\n'
        'thread (0x8): "gone";run (actors/intake.py:9) 10\n'
    )
    assert divided({"node: node-relay": 80.0}, stacks) == {
        "node: node-relay, in actors.publisher.relay": 60.0,
        "node: node-relay, in libraries": 20.0,
    }
    assert divided({"node: node-relay": 80.0}, tmp_path / "none") == {}
    assert NODE_ID.sub("", "kafka-io-host.x:16194-echo") == "kafka-io-echo"


def test_stages_stand_below_what_they_are_part_of():
    worth = {
        "kafka, PostgreSQL": 300.0,
        "kafka, node: a": 10.0,
        "kafka, node: b": 90.0,
        "kafka, node: b, in x": 50.0,
        "kafka, PostgreSQL: ledger": 200.0,
        "kafka, PostgreSQL, wall clock of function: apply": 900.0,
    }
    assert sorted(worth, key=lambda name: _place(name, worth)) == [
        "kafka, PostgreSQL",
        "kafka, node: b",
        "kafka, node: b, in x",
        "kafka, node: a",
        "kafka, PostgreSQL: ledger",
        "kafka, PostgreSQL, wall clock of function: apply",
    ]


def test_the_machine_is_measured_beside_a_group() -> None:
    took_us: list[Measured] = []
    with yardstick.beside(took_us):
        assert not took_us
    row = yardstick.row("some", took_us)
    assert (row["group"], row["unit"]) == ("some", "us")
    assert 0 < row["low"] <= row["value"] <= row["high"]


def test_the_disk_is_measured_beside_a_run() -> None:
    began_s = time.perf_counter()
    took_s: list[Measured] = []
    with disk.beside(took_s):
        assert not took_s
    assert took_s
    assert all(0 < each.value < 60 for each in took_s)
    assert began_s < took_s[0].at_s < time.perf_counter()


class _Runs:
    """A course whose runs differ in the disk beside them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stalls_s: list[float]) -> None:
        self.made = 0

        @contextmanager
        def beside(took_s: list[Measured]) -> Iterator[None]:
            yield
            took_s += [Measured(0.0, 0.001), Measured(1.0, stalls_s[self.made - 1])]

        monkeypatch.setattr(disk, "beside", beside)

    def run(self, rate_per_s: float | None, count: int) -> Ran:
        assert (rate_per_s, count) == (200.0, 800)
        self.made += 1
        return Ran(0.0, Speed(commit=[float(self.made)], screen=[]), [0.0])


@pytest.mark.parametrize(
    ("stalls_s", "made", "calm"),
    [([0.001] * 6, 3, 3), ([0.2] * 6, 6, 0), ([0.2, 0.001, 0.001, 0.3, 0.02, 0.001], 5, 3)],
)
def test_runs_that_the_disk_spoiled_are_made_again_and_kept(
    monkeypatch: pytest.MonkeyPatch, stalls_s: list[float], made: int, calm: int
) -> None:
    found, course = Found(), _Runs(monkeypatch, stalls_s)
    repeats = Repeats(found, "webhook", 3, 8.0)
    while repeats.wanted:
        repeats.run(cast("Course", course), 200.0)
    assert course.made == made
    assert len(found.runs["webhook to commit, p50"]) == made
    assert len(found.runs[f"webhook{disk.WITHOUT_STALLS} to commit, p50"]) == calm
    assert found.spoiled("webhook", disk.WITHOUT_STALLS) == (0 < calm < made)


@pytest.mark.parametrize(
    ("due_s", "stood_s", "met"),
    [(1.0, 1.9, False), (1.0, 2.1, True), (2.1, 2.15, True), (2.6, 2.61, True), (2.8, 2.81, False)],
)
def test_a_payment_meets_a_stall_that_it_waits_for_or_that_is_just_over(
    due_s: float, stood_s: float, met: bool
) -> None:
    assert Took(due_s, stood_s).met([Measured(2.0, 0.2), Measured(9.0, 0.1)]) is met
    assert not Took(due_s, stood_s).met([])


def test_a_storm_is_held_against_its_own_calm_and_told_once_more_without_the_disks_stalls() -> None:
    felt = Felt()
    took = {
        Way("kafka", Via.KAFKA, raged=False): [Took(0.0, 0.01), Took(5.0, 5.5)],
        Way("kafka", Via.KAFKA, raged=True): [Took(10.0, 10.02)],
        Way(SAME, Via.KAFKA, raged=True): [Took(10.0, 10.4)],
        Way("webhook", Via.WEBHOOK, raged=False): [Took(20.0, 20.01)],
    }
    felt.keep(took, disk.stalls([Measured(5.0, 0.2), Measured(6.0, 0.001)]))
    rows = {row["name"]: row for row in felt.rows("storm")}
    within = "others by kafka, p99 within storms by kafka"
    assert rows[within]["ratio"] == pytest.approx(0.04)
    assert rows[within + disk.WITHOUT_STALLS]["ratio"] == pytest.approx(2.0)
    assert rows[f"others by {SAME}, p99 within storms by kafka{disk.WITHOUT_STALLS}"][
        "ratio"
    ] == pytest.approx(40.0)
    # no calm without a storm to hold against it
    assert not any("webhook" in name for name in rows)


def test_a_storm_that_met_no_stall_is_told_once() -> None:
    felt = Felt()
    took = {Way("kafka", Via.KAFKA, raged=raged): [Took(0.0, 0.01)] for raged in (False, True)}
    felt.keep(took, [])
    assert [row["name"] for row in felt.rows("storm")] == [way.name for way in took]


def test_the_clocks_of_a_process_go_forward():
    before = process_s(os.getpid())
    sum(number * number for number in range(1_000_000))
    assert process_s(os.getpid()) > before
    assert os.getpid() in thread_s(os.getpid())


def test_an_active_student_takes_less_than_four_kibibytes():
    """So that 100,000 of them fit into 400 MB."""
    assert 500 < in_child(memory_of, 20_000)["bytes_each"] < 4_000
