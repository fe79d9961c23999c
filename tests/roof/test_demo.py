"""The demo and the load test as a newcomer and a script run them: whole, on real servers."""

import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from actors.store.catalog import import_catalog
from kcactors.cli import run
from kcactors.embedded.surroundings import inherited
from kcactors.load import catalogue
from kcactors.load.pace import Speed
from kcactors.load.plan import Via
from kcactors.load.report import Counts, Result
from kcactors.load.verify import Verdict
from kcactors.verbs import load as verbs
from tests.support.waiting import wait_until


def kcactors(*words, env=None, timeout_s=80):
    """Runs the command as a process: exit code, the one JSON object of standard output, standard error."""
    ended = subprocess.run(
        [sys.executable, "-m", "kcactors", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=None if env is None else {**os.environ, **env},
    )
    assert ended.stdout.count("\n") == 1, ended.stdout + ended.stderr
    return ended.returncode, json.loads(ended.stdout), ended.stderr


@pytest.mark.whole
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.kafka
def test_the_demo_keeps_the_promise_and_says_so_in_one_object():
    code, said, err = kcactors(
        "demo", "--json", "--payments", "80", "--students", "12", "--duplicates", "1.25", "--seed", "7"
    )
    assert (code, said["ok"]) == (0, True), err
    assert said["payments"] == said["purchases"] == 80
    assert said["deliveries"] == 180
    assert said["allocations"] + said["waitlisted"] == 80
    assert said["duplicates_absorbed"] == 100
    assert (said["doubled"], said["lost"]) == (0, 0)
    assert said["refunds"] > 0
    assert said["recovered"] > 0
    assert said["events_seen_by_sessions"] == said["events_of_watched_students"] > 0
    assert said["events_published"] >= 160
    assert (
        0 < said["latency_ms"]["payment_to_screen"]["p50"] <= said["latency_ms"]["payment_to_screen"]["p99"]
    )
    assert said["throughput_payments_per_s"] > 0


@pytest.mark.whole
@pytest.mark.parametrize("pattern", ["late", "storm"])
def test_the_load_test_judges_a_running_node(node, node_settings, pattern, tmp_path):
    import_catalog(
        node_settings["KCACTORS_DATABASE_URL"], catalogue.document(courses=4, trainers=8, capacity=20)
    )
    code, said, err = kcactors(
        *("loadtest", "--json", "--kafka", "--target", node.url, "--payments", "60", "--students", "9"),
        *("--duplicates", "2", "--pattern", pattern, "--zipf", "1", "--sessions", "5", "--rate", "400"),
        *("--page", str(tmp_path / "page.html")),
        env=node_settings,
    )
    assert (code, said["ok"], said["broken"]) == (0, True, []), err
    assert (said["purchases"], said["deliveries"], said["duplicates_absorbed"]) == (60, 180, 120)
    assert said["events_seen_by_sessions"] == said["events_of_watched_students"]
    assert set(said["latency_ms_by_way"]) == {"kafka", "webhook"}
    assert "The promise was kept" in (tmp_path / "page.html").read_text(encoding="utf-8")
    absorbed = said["absorbed_by"]
    assert sum(absorbed.values()) <= 120
    if pattern == "late":
        # The students were put away, so that the first duplicate of each payment had to be answered by its effect.
        assert absorbed["effect"] >= 60


@pytest.mark.whole
def test_a_node_drains_on_sigterm_and_exits_0(node):
    node.send(signal.SIGTERM)
    assert wait_until(lambda: node.exit_code is not None, 20.0, what="the node to end")
    assert node.exit_code == 0


@pytest.mark.whole
def test_a_load_test_without_anything_to_sell_is_wrong_use(node, node_settings):
    ended = subprocess.run(
        [sys.executable, "-m", "kcactors", "loadtest", "--target", node.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **node_settings},
    )
    assert ended.returncode == 2
    assert "catalog import" in ended.stderr


@pytest.mark.parametrize("damage", [{"lost": 1}, {"doubled": 1}, {"missed_on_screens": 2}])
def test_a_broken_promise_is_exit_1_and_is_told(monkeypatch, capsys, damage):
    clean = dict.fromkeys(Verdict.__struct_fields__, 0)
    result = Result(
        payments=2,
        deliveries=4,
        counts=Counts(2, 2, 0, 6, 6, 0, 6, 6, {}, 0),
        verdict=Verdict(**{**clean, **damage}),
        throughput_payments_per_s=1.0,
        speeds={Via.KAFKA: Speed([], [])},
    )
    monkeypatch.setattr(verbs, "demo", lambda **_: result)
    assert run(["demo", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"] is False
    assert result.broken()[0] in err
    assert run(["demo"]) == 1
    assert "BROKEN" in capsys.readouterr().out
    monkeypatch.setattr(verbs, "demo", lambda **_: msgspec.structs.replace(result, verdict=Verdict(**clean)))
    assert run(["demo"]) == 0


def test_a_node_without_its_database_is_exit_3(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "kcactors", "node", "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **inherited(),
            "KCACTORS_DATABASE_URL": "postgresql://kc:hidden-pw@127.0.0.1:1/kc",
            "KCACTORS_REDIS_URL": "redis://127.0.0.1:1",
            "KCACTORS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
            "KCACTORS_JWT_SECRET": "k" * 32,
            "KCACTORS_DATABASE_CONNECT_WAIT_S": "0.2",
        },
    )
    assert ended.returncode == 3
    assert "PostgreSQL" in ended.stderr
    assert "hidden-pw" not in ended.stderr
