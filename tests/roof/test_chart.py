"""Plots stand on their own: well-formed, inside their frame, and whatever is named in them is only text."""

import itertools
import math
import xml.etree.ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from kcactors.load.axis import Scale, axis, nice_step, short
from kcactors.load.chart import WIDTH, Bar, Series, bars, lines

numbers = st.floats(0, 1e9)
shares = st.floats(0, 0.99999)


@given(st.sampled_from(list(Scale)), st.data())
def test_every_value_stands_on_the_axis_and_in_order(scale, data):
    values = data.draw(st.lists(shares if scale is Scale.NINES else numbers, min_size=1, max_size=20))
    found = axis(scale, values)
    places = [found.at(value) for value in sorted(values)]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)
    ticks = found.ticks()
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)
    assert len(ticks) <= 24


@given(st.floats(1e-9, 1e9))
def test_a_step_is_the_least_nice_one(least):
    step = nice_step(least)
    assert least * (1 - 1e-6) <= step <= least * 2.5
    assert round(step / 10 ** math.floor(math.log10(step)), 6) in {1.0, 2.0, 2.5, 5.0, 10.0}


def test_the_nines_stand_at_like_distances():
    found = axis(Scale.NINES, [0.9999])
    at = [found.at(share) for share in (0.9, 0.99, 0.999, 0.9999)]
    gaps = [b - a for a, b in itertools.pairwise(at)]
    assert max(gaps) - min(gaps) < 1e-9


def test_numbers_are_short():
    assert [short(v) for v in (0, 0.25, 950, 1500, 20_000, 3e6)] == ["0", "0.25", "950", "1.5k", "20k", "3M"]


@given(st.lists(st.lists(st.tuples(numbers, numbers), max_size=8), max_size=7))
@example([[(5e-324, 5e-324)]])  # a quarter of it is 0
@example([[(1e-12, 1e-12)]])
def test_lines_are_inside_their_frame(points):
    tree = ET.fromstring(lines("t", [Series(f"s{n}", p) for n, p in enumerate(points)], x="x", y="y"))
    drawn = [e for e in tree.iter() if e.tag.endswith("polyline")]
    assert len(drawn) == sum(bool(p) for p in points)
    for line in drawn:
        for place in line.attrib["points"].split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= 320


def test_names_are_text_and_nothing_comes_from_outside():
    evil = '<script>alert("1")</script>&'
    for text in (
        lines(evil, [Series(evil, [(0, 1), (1, 2)], dots=True)], x=evil, y=evil),
        bars(evil, [Bar(evil, 3, evil, low=1, high=4)], unit=evil),
    ):
        ET.fromstring(text)
        assert "<script" not in text
        assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"') == 1
        assert "url(" not in text


def test_nothing_measured_is_said():
    assert "nothing was measured" in lines("t", [Series("a", [])], x="x", y="y")
