"""The page of a load test: it stands alone, says what is wrong, and shows what was measured."""

import json
import re
import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcactors.exits import WrongUse
from kcactors.load.pace import Speed, curve, percentile_ms
from kcactors.load.page import CHECKS, page
from kcactors.load.plan import Pattern, Via
from kcactors.load.report import Counts, Result
from kcactors.load.timeline import STEPS_MAX, Timeline
from kcactors.load.verify import Verdict
from kcactors.loadtest import Order
from kcactors.output import Output
from kcactors.verbs import load as verbs

CLEAN = dict.fromkeys(Verdict.__struct_fields__, 0)
LATENCIES = [0.004 + 0.0001 * n for n in range(500)]


def result(**changes):
    timeline = Timeline()
    for number in range(600):
        timeline.delivered(100 + number / 100)
    for second in range(7):
        timeline.bought(100 + second, 50 * second)
    return Result(
        **{
            "payments": 300,
            "deliveries": 600,
            "counts": Counts(300, 290, 10, 900, 900, 0, 90, 90, {}, 0),
            "verdict": Verdict(**CLEAN),
            "throughput_payments_per_s": 50.0,
            "speeds": {Via.KAFKA: Speed(LATENCIES, LATENCIES), Via.WEBHOOK: Speed([], [])},
            "order": {"targets": ["http://one"], "rate_per_s": None, "payments": 300},
            "moments": timeline.moments((100 + n / 100, 0.01) for n in range(600)),
            "absorbed_by": {"mailbox": 250, "effect": 40},
            "settled_s": 6.0,
            **changes,
        }
    )


def test_the_page_stands_alone():
    text = page(result())
    assert "<script" not in text
    links = set(re.findall(r"(?:src|href|url)\s*[=(]", text))
    assert links == set()
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 4
    for plot in plots:
        ET.fromstring(plot)
    assert "The promise was kept" in text
    assert text.count(">kept<") == len(CHECKS)


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_each_broken_check_is_named(name):
    text = page(result(verdict=Verdict(**{**CLEAN, name: 3})))
    assert "The promise was broken" in text
    row = re.search(rf"<tr><td>{re.escape(CHECKS[name]).replace(chr(39), '&#39;')}</td>.*?</tr>", text)
    assert row is not None
    assert "3 times not" in row[0]


def test_what_is_named_on_the_page_is_only_text():
    evil = "<img src=x onerror=alert(1)>"
    text = page(result(order={"targets": [evil]}, trouble=[evil], absorbed_by={evil: 3}))
    assert "<img" not in text


def test_a_page_without_latencies_leaves_their_plots_out():
    text = page(result(speeds={}, absorbed_by=None, moments=[]))
    assert len(re.findall("<svg", text)) == 1
    assert "nothing was measured" in text


def test_a_page_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(verbs, "loadtest", lambda *_: pytest.fail("it was sent"))
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(WrongUse, match="--page"):
        verbs.put_load_on(Output(as_json=True), order(), in_the_way / "page.html")


def test_the_json_holds_what_the_page_is_drawn_from(tmp_path, monkeypatch, capsys):
    broken = result(verdict=Verdict(**{**CLEAN, "lost": 1}))
    monkeypatch.setattr(verbs, "loadtest", lambda *_: broken)
    at = tmp_path / "new" / "page.html"
    assert verbs.put_load_on(Output(as_json=True), order(), at) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["absorbed_by"] == {"mailbox": 250, "effect": 40}
    assert said["deliveries_per_s"] == 100.0
    assert len(said["timeline"]) == len(broken.moments)
    assert said["latency_ms_percentiles"]["kafka"]["payment_to_commit"][0][0] == 0.0
    assert "broken" in at.read_text(encoding="utf-8")


def order():
    return Order(
        targets=[],
        kafka=True,
        payments=1,
        students=1,
        duplicates=0,
        pattern=Pattern.LATE,
        zipf=0,
        rate_per_s=None,
        sessions=0,
        seed=1,
    )


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_a_curve_rises_to_the_slowest(seconds):
    points = curve(seconds)
    assert points == sorted(points)
    assert points[-1][1] == percentile_ms(sorted(seconds), 1.0)
    assert all(0 <= share < 1 for share, _ in points)


times = st.floats(1000, 5000)


@settings(max_examples=50)
@given(*[st.lists(times, max_size=40)] * 2, st.lists(st.tuples(times, st.floats(0, 3)), max_size=20))
def test_a_timeline_loses_nothing_and_stays_short(delivered, looks, late):
    timeline = Timeline()
    for at in delivered:
        timeline.delivered(at)
    for count, at in enumerate(sorted(looks)):
        timeline.bought(at, count * 10)
    moments = timeline.moments(late)
    assert len(moments) <= STEPS_MAX + 2
    assert bool(moments) == bool(delivered or looks or late)
    if len(moments) > 1:
        step_s = moments[1].at_s - moments[0].at_s
        rounding = 0.05 * step_s * len(moments) + 1e-6
        assert abs(sum(m.deliveries_per_s for m in moments) * step_s - len(delivered)) <= rounding
        if len(looks) > 1:
            bought = sum(m.purchases_per_s or 0.0 for m in moments) * step_s
            assert abs(bought - (len(looks) - 1) * 10) <= rounding
    assert sum(m.p99_ms is not None for m in moments) <= len(late)


def test_purchases_between_two_looks_are_spread_evenly():
    timeline = Timeline()
    timeline.bought(0.0, 0)
    timeline.bought(2.0, 100)
    assert [m.purchases_per_s for m in timeline.moments()] == [50.0, 50.0, 50.0, 50.0, 0.0]


def test_every_struct_of_the_report_encodes():
    assert msgspec.json.decode(msgspec.json.encode(result().report()))["ok"] is True
