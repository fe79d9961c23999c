"""What a node measures: readable, bounded in number, and all that the alert rules and the Grafana dashboard name."""

import json
import re
import shutil
import subprocess
import threading
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.audit.metrics import AuditMetrics
from actors.ingest.offsets import Windows
from actors.messages import Deliver
from actors.metrics import PartitionMetrics, WorkMetrics
from gateway.metrics import GatewayMetrics
from kcactors.oversight import outbox_gauge
from supervision import System
from supervision.cellstate import State
from supervision.dashboard.census import Census
from supervision.dashboard.metrics import RuntimeCollector
from tests.actors.transaction import Nowhere, payment
from tests.house.source import ROOT
from tests.support.waiting import wait_until

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
GRAFANA = ROOT / "deploy" / "grafana" / "kcactors.json"
NAME = re.compile(r"\bkcactors_\w+")


@pytest.fixture
def registry(tree, dashboard):
    made = CollectorRegistry()
    made.register(dashboard.collector("kcactors_"))
    return made


def parsed(registry):
    return list(text_string_to_metric_families(generate_latest(registry).decode()))


def series(registry):
    return {
        (sample.name, *sorted((key, value) for key, value in sample.labels.items()))
        for family in parsed(registry)
        for sample in family.samples
    }


def value(registry, name, **labels):
    return registry.get_sample_value(name, labels)


def test_the_contract_s_runtime_metrics_are_there(tree, registry):
    tree.trouble()
    names = {family.name for family in parsed(registry)}
    assert names >= {
        "kcactors_actors",
        "kcactors_mailbox_depth",
        "kcactors_mailbox_oldest_seconds",
        "kcactors_turn_seconds",
        "kcactors_mailbox_wait_seconds",
        "kcactors_restarts",
        "kcactors_dead_letters",
        "kcactors_incidents",
        "kcactors_conservation_error",
        "kcactors_observe_cpu_seconds",
    }


def test_figures_are_those_of_the_tree(tree, registry):
    tree.trouble()
    assert value(registry, "kcactors_restarts_total", **{"class": "Student"}) == 2
    assert value(registry, "kcactors_mailbox_depth", **{"class": "Ledger"}) == 8
    assert value(registry, "kcactors_actors", **{"class": "Ledger", "state": "suspended"}) == 1
    assert value(registry, "kcactors_conservation_error") == 0
    assert value(registry, "kcactors_mailbox_parked_total") == 1


def test_histograms_only_grow_with_their_bounds(tree, registry):
    for n in range(100):
        tree.students.tell(str(n % 7), n)
    wait_until(lambda: value(registry, "kcactors_actor_messages_total", **{"class": "Student"}) == 100)
    (turns,) = [family for family in parsed(registry) if family.name == "kcactors_turn_seconds"]
    counts = [
        (float(sample.labels["le"]), sample.value)
        for sample in turns.samples
        if sample.name.endswith("_bucket") and sample.labels["class"] == "Student"
    ]
    assert counts == sorted(counts)
    assert [count for _, count in counts] == sorted(count for _, count in counts)
    assert counts[-1][0] == float("inf")


@pytest.mark.parametrize("students", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_more_students_make_no_more_series(tree, registry, students):
    def handled():
        return value(registry, "kcactors_actor_messages_total", **{"class": "Student"})

    for n in range(100):
        tree.students.tell(f"s{n}", n)
    wait_until(lambda: handled() == 100)
    before = series(registry)
    for n in range(100, students):
        tree.students.tell(f"s{n}", n)
    wait_until(lambda: handled() == students, 120)
    assert tree.students.active == students
    # A state that no actor was in before may show; there are as many as `State` and two more.
    grown = {one for one in series(registry) - before if one[0] != "kcactors_actors"}
    assert grown == set()
    assert sum(one[0] == "kcactors_actors" for one in series(registry)) <= len(before) + len(State)


def test_reading_metrics_does_not_walk_over_the_actors_each_time(dashboard):
    class Counting(System):
        walks = 0

        def cells(self):
            self.walks += 1
            return super().cells()

    system = Counting("counting")
    try:
        registry = CollectorRegistry()
        registry.register(RuntimeCollector(system, Census(system), prefix="x_"))
        for _ in range(20):
            generate_latest(registry)
        assert system.walks == 1
    finally:
        system.stop(5)


def test_duplicates_are_counted_once_each_whoever_looks_and_however_often():
    registry = CollectorRegistry()
    metrics = WorkMetrics(registry)
    deliver = Deliver(payment(uuid4(), uuid4()), Nowhere(), "kafka", 0.0)
    each = 20_000

    def absorb():
        for _ in range(each):
            metrics.absorbed(deliver)

    threads = [threading.Thread(target=absorb) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(registry.get_sample_value("kcactors_duplicates_total", {"stage": "mailbox"}) or 0.0)
    labels = {"via": "kafka", "type": "PAYMENT_SUCCEEDED", "outcome": "exists"}
    assert seen == sorted(seen)
    # who asks for these only has them too
    some = registry.restricted_registry(["kcactors_messages_total"]).collect()
    assert [
        sample.value for family in some for sample in family.samples if sample.name.endswith("_total")
    ] == [3 * each]
    for _ in range(2):
        assert registry.get_sample_value("kcactors_messages_total", labels) == 3 * each
        assert registry.get_sample_value("kcactors_duplicates_total", {"stage": "mailbox"}) == 3 * each


@pytest.fixture
def everything(registry):
    """All that a node registers."""
    WorkMetrics(registry)
    GatewayMetrics(registry)
    AuditMetrics(registry)
    registry.register(PartitionMetrics(Windows().all, lambda: 0.0))
    outbox_gauge(registry)
    return {name for family in parsed(registry) for name in (family.name, *_samples(family))}


def _samples(family):
    return {
        "counter": [f"{family.name}_total"],
        "histogram": [f"{family.name}_bucket", f"{family.name}_sum", f"{family.name}_count"],
    }.get(family.type, [])


@pytest.mark.parametrize("path", [ALERTS, GRAFANA], ids=["alerts", "grafana"])
def test_every_metric_that_is_watched_exists(everything, path):
    named = set(NAME.findall(path.read_text()))
    assert len(named) > 10
    assert named - everything == set()


def test_every_alert_says_what_to_do():
    rules = ALERTS.read_text().split("- alert: ")[1:]
    assert len(rules) >= 10
    for rule in rules:
        assert all(part in rule for part in ("expr:", "severity:", "summary:", "action:")), rule.splitlines()[
            0
        ]


def test_the_grafana_panels_do_not_overlap():
    panels = [panel["gridPos"] for panel in json.loads(GRAFANA.read_text())["panels"]]
    taken = [
        (x, y)
        for at in panels
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@pytest.mark.promtool
def test_the_alerts_ring_for_recorded_series():
    tool = shutil.which("promtool")
    assert tool is not None
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        said = subprocess.run([tool, *words], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.promtool
def test_promtool_accepts_the_metrics(registry, everything):
    tool = shutil.which("promtool")
    assert tool is not None
    said = subprocess.run(
        [tool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert said.returncode != 1, said.stdout + said.stderr
