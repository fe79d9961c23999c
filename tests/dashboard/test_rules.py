"""Rules without threads: sums over trees, who is lost, quantiles, drawings."""

import math
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from actors.cluster.figures import History, quantile_s, reading
from actors.cluster.report import LOST_AFTER_S, NodeReport, Quantiles, Roll, totals
from supervision.dashboard import draw
from supervision.dashboard.describe import TEXT_MAX, describe
from supervision.dashboard.tree import plain, roll_up, walk

STATES = ["running", "suspended", "backing_off", "failed"]


def node(children=(), **changes):
    return {
        "path": "p",
        "name": "n",
        "class": "C",
        "state": "running",
        "depth": 0,
        "oldest_s": 0.0,
        "restarts": 0,
        "children": list(children),
        **changes,
    }


trees = st.recursive(
    st.builds(
        lambda depth, age, restarts, state: node(depth=depth, oldest_s=age, restarts=restarts, state=state),
        st.integers(0, 99),
        st.floats(0, 1e6),
        st.integers(0, 9),
        st.sampled_from(STATES),
    ),
    lambda children: st.builds(
        lambda below, depth: node(below, depth=depth), st.lists(children, max_size=4), st.integers(0, 9)
    ),
    max_leaves=20,
)


@given(trees)
def test_a_node_shows_the_sum_of_all_below_it(root):
    below = roll_up(root)
    nodes = list(walk(root))
    assert below.actors == len(nodes)
    assert below.depth == sum(one["depth"] for one in nodes)
    assert below.oldest_s == max(one["oldest_s"] for one in nodes)
    assert below.restarts == sum(one["restarts"] for one in nodes)
    troubled = {one["state"] for one in nodes} - {"running"}
    assert (below.worst in troubled) if troubled else below.worst == "running"
    assert all("below" not in one for one in walk(plain(root)))


def test_hidden_students_count_too():
    directory = node([node(depth=2)], active=1000, depth_below=50, restarts_below=3)
    below = roll_up(directory)
    assert (below.actors, below.depth, below.restarts) == (1001, 50, 3)


def report(name: str = "a:1", beat: int = 1, **changes: Any) -> NodeReport:
    given_: dict[str, Any] = {
        "id": name,
        "beat": beat,
        "at": 1000.0,
        "started_at": 900.0,
        "version": "1",
        "roles": ["gateway"],
        "partitions": [0],
        "in_flight": 0,
        "sessions": 5,
        "payments_per_s": 2.5,
        "payment_to_commit": Quantiles(),
        "commit_to_screen": Quantiles(),
        "oldest_s": 0.0,
        "actors": 1,
        "restarts": 0,
        "parked": 0,
        "conservation_error": 0,
        "outbox_age_s": None,
        "degraded": [],
        "outcomes": {"created": 3, "exists": 4, "recovered": 1},
        "absorbed": {"mailbox": 3, "effect": 1},
    }
    return NodeReport(**{**given_, **changes})


def states(roll, now_s):
    return {seen.report.id: seen.state for seen in roll.seen(now_s)}


def test_a_node_that_stops_reporting_is_lost_and_stays_on_the_page():
    roll = Roll()
    roll.hear({"a:1": report(), "b:1": report("b:1", degraded=["redis"])}, 0.0, 1000.0)
    assert states(roll, 0.0) == {"a:1": "up", "b:1": "degraded"}
    roll.hear({"a:1": report(beat=2), "b:1": report("b:1", degraded=["redis"])}, LOST_AFTER_S + 1, 1009.0)
    assert states(roll, LOST_AFTER_S + 1) == {"a:1": "up", "b:1": "lost"}
    roll.hear({"a:1": report(beat=3), "b:1": report("b:1", beat=2)}, 20.0, 1020.0)
    assert states(roll, 20.0) == {"a:1": "up", "b:1": "up"}, "it is back"
    roll.hear({"a:1": report(beat=4)}, 21.0, 1021.0)
    assert states(roll, 21.0) == {"a:1": "up"}, "one that says goodbye is gone"


def test_clocks_that_differ_make_nobody_lost():
    roll = Roll()
    for beat in range(1, 20):
        roll.hear({"b:1": report("b:1", beat, at=beat * 2.0 - 500)}, beat * 2.0, 1000.0 + beat * 2)
    assert states(roll, 40.0) == {"b:1": "up"}


def test_one_that_died_before_we_came_is_lost_at_once():
    roll = Roll()
    roll.hear({"b:1": report("b:1", at=1000.0)}, 5.0, 1100.0)
    assert states(roll, 5.0) == {"b:1": "lost"}


def test_the_cluster_is_the_sum_of_its_nodes_and_forgets_no_counts():
    roll = Roll()
    roll.hear({"a:1": report(), "b:1": report("b:1", at=0.0, outbox_age_s=7.0)}, 0.0, 1000.0)
    whole = totals(roll.seen(0.0))
    assert (whole.nodes, whole.lost, whole.sessions, whole.payments_per_s) == (2, 1, 5, 2.5)
    assert (whole.deliveries, whole.payments, whole.recovered) == (16, 8, 2)
    assert whole.absorbed == {"mailbox": 6, "effect": 2}
    assert whole.outbox_age_s is None


def test_a_report_survives_the_board():
    assert msgspec.json.decode(msgspec.json.encode(report()), type=NodeReport) == report()


@given(st.lists(st.floats(0.0001, 20), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
@example([0.0078125, 1.0], 0.5)  # the whole of a bucket, whose bounds do not add up in floating point
def test_a_quantile_lies_in_the_bucket_of_the_value_that_it_stands_for(values, share):
    registry = CollectorRegistry()
    bounds = (0.001, 0.01, 0.1, 1.0, 10.0)
    histogram = Histogram("h", "h", buckets=bounds, registry=registry)
    for value in values:
        histogram.observe(value)
    after = {
        float(s.labels["le"]): s.value for m in registry.collect() for s in m.samples if s.name == "h_bucket"
    }
    found = quantile_s({}, after, share)
    assert found is not None
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    upper = next((bound for bound in bounds if true <= bound), bounds[-1])
    lower = max((bound for bound in bounds if bound < upper), default=0.0)
    assert lower <= found <= upper
    assert quantile_s(after, after, share) is None, "nothing between two equal readings"


def test_a_reading_adds_up_what_the_metrics_say():
    registry = CollectorRegistry()
    messages = Counter("kcactors_messages", "m", ("via", "type", "outcome"), registry=registry)
    messages.labels("kafka", "PAYMENT_SUCCEEDED", "created").inc(3)
    messages.labels("webhook", "PAYMENT_SUCCEEDED", "created").inc(2)
    messages.labels("kafka", "PAYMENT_SUCCEEDED", "recovered").inc()
    latest = reading(registry, 1.0)
    assert latest.outcomes == {"created": 5, "recovered": 1}
    assert latest.done == 6


def test_history_compares_with_what_is_old_enough():
    history = History()
    for second in range(0, 200, 2):
        history.add(reading(CollectorRegistry(), float(second)))
    assert history.before(10).at_s == 188.0
    assert history.before(60).at_s == 138.0
    assert len(history._readings) < 40


@given(st.lists(st.floats(0, 1e9), max_size=100), st.integers(0, 100))
def test_a_line_is_valid_and_stays_within_its_frame(values, slots):
    svg = ET.fromstring(draw.line(values, 'the "label" & more', slots=slots))
    for polyline in svg.iter("polyline"):
        for point in polyline.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert -0.1 <= x <= 120.1
            assert 0 <= y <= 24


@given(st.lists(st.tuples(st.sampled_from(["first", "bad"]), st.integers(0, 10**9)), max_size=5))
def test_a_bar_fills_its_width_and_no_more(parts):
    svg = ET.fromstring(draw.bar(parts, "b"))
    rects = [rect for rect in svg.iter("rect") if rect.attrib["class"].startswith("part")]
    assert len(rects) == sum(1 for _, amount in parts if amount)
    assert all(float(rect.attrib["x"]) <= 320 for rect in rects)


@pytest.mark.parametrize("state", [*STATES, "lost", "up", "something new"])
def test_every_state_has_a_shape_and_a_word(state):
    mark = draw.mark(state)
    assert "<svg" in mark
    assert state.replace("_", " ") in mark


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0"), (0.000004, "4 µs"), (0.0042, "4.2 ms"), (0.25, "250 ms"), (1, "1 s"), (9.96, "10 s"),
     (12.4, "12 s"), (60, "1 min"), (5400, "1.5 h"), (86400 * 3, "3 d")],
)  # fmt: skip
def test_ages_read_at_a_glance(seconds, text):
    assert draw.age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0"), (0.25, "0.2"), (12.7, "13"), (12345, "12\u202f345")]
)
def test_numbers_read_at_a_glance(number, text):
    assert draw.count(number) == text


def test_a_message_is_a_line_however_large_or_broken():
    class Broken:
        def __repr__(self):
            raise ValueError("no")

    assert describe(Broken()) == "Broken (its repr fails: ValueError)"
    assert len(describe("x" * 10_000)) < TEXT_MAX + 40
    assert describe([1, 2, "x"]) == "a batch of 3: int, str"
