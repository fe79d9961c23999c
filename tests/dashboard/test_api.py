import json

import httpx2
import pytest

from tests.dashboard.stand import STUDENT, TOKEN, Served, application
from tests.support.waiting import wait_until

API = "/api/v1/supervision"
ROOT = "root"


def test_the_tree_names_every_actor_with_state_and_depth(client, tree, operator):
    tree.students.tell(STUDENT, "hello")
    document = client.get(API, headers=operator).json()
    assert document["node"] == "test:1"
    root = document["root"]
    assert set(root) >= {"path", "name", "class", "state", "depth", "oldest_s", "restarts", "children"}
    core = next(child for child in root["children"] if child["name"] == "core")
    assert [child["name"] for child in core["children"]] == ["ledger-0", "ledger-1", "directory"]
    assert core["children"][2]["active"] == 1


@pytest.mark.parametrize("path", ["", "/actors", "/actors/core", "/incidents", "/stream"])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "no_token"),
        ({"authorization": "Bearer forged"}, 401, "invalid_token"),
        ({"authorization": "Bearer a student's"}, 403, "operators_only"),
        ({"authorization": f"Basic {TOKEN}"}, 401, "no_token"),
    ],
)
def test_nobody_else_may_look(client, path, headers, status, code):
    answer = client.get(API + path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_nobody_else_may_act(client, tree):
    answer = client.post(
        f"{API}/actors/core/ledger-0/suspend", headers={"authorization": "Bearer a student's"}
    )
    assert answer.status_code == 403
    assert not tree.ledgers[0].cell.suspended
    assert tree.deeds == []


def test_the_lists_show_the_most_noticeable_first(client, tree, operator):
    tree.trouble()
    by_depth = client.get(f"{API}/actors?order=depth&limit=1", headers=operator).json()["actors"]
    assert [(one["path"], one["depth"], one["state"]) for one in by_depth] == [
        ("core/ledger-1", 7, "suspended")
    ]
    by_restarts = client.get(f"{API}/actors?order=restarts&limit=1", headers=operator).json()["actors"]
    assert by_restarts[0]["name"] == STUDENT
    by_age = client.get(f"{API}/actors?order=oldest", headers=operator).json()["actors"]
    ages = [one["oldest_s"] for one in by_age]
    assert ages == sorted(ages, reverse=True)


@pytest.mark.parametrize("query", ["order=colour", "limit=0", "limit=501", "limit=x", "limit=-1"])
def test_a_wrong_parameter_is_named(client, operator, query):
    assert client.get(f"{API}/actors?{query}", headers=operator).json()["code"] == "bad_parameter"


def test_a_student_is_found_by_id_and_an_actor_by_a_part_of_its_path(client, tree, operator):
    tree.students.tell(STUDENT, "hello")
    found = client.get(f"{API}/actors?q={STUDENT}", headers=operator).json()["actors"]
    assert [one["path"] for one in found] == [f"core/directory/{STUDENT}"]
    found = client.get(f"{API}/actors?q=ledger", headers=operator).json()["actors"]
    assert {one["name"] for one in found} == {"ledger-0", "ledger-1"}
    assert client.get(f"{API}/actors?q=nobody", headers=operator).json()["actors"] == []


def test_an_actor_shows_its_queue_its_troubles_and_their_tracebacks(client, tree, operator):
    tree.trouble()
    ledger = client.get(f"{API}/actors/core/ledger-1", headers=operator).json()
    assert ledger["state"] == "suspended"
    assert [one["message"] for one in ledger["queue"]] == [f"'payment {n}'" for n in range(7)]
    student = client.get(f"{API}/actors/core/directory/{STUDENT}", headers=operator).json()
    assert (student["parked"], student["failures"]) == (1, 2)
    kinds = [one["kind"] for one in student["incidents"]]
    assert kinds.count("failed") == 2
    assert "parked" in kinds
    traces = [one["trace"] for one in student["incidents"] if one["kind"] == "failed"]
    assert all("RuntimeError: a bug, said the message" in trace for trace in traces)


def test_an_actor_that_is_not_there_is_404(client, operator):
    assert client.get(f"{API}/actors/core/nobody", headers=operator).json()["code"] == "no_such_actor"
    assert client.post(f"{API}/actors/core/nobody/restart", headers=operator).status_code == 404


def test_suspend_and_resume_take_effect_and_are_written_down(client, tree, operator):
    answer = client.post(f"{API}/actors/core/ledger-0/suspend", headers=operator)
    assert (answer.status_code, answer.json()["state"]) == (200, "suspended")
    answered = tree.ledgers[0].ask("hello", block=False)
    assert client.post(f"{API}/actors/core/ledger-0/resume", headers=operator).json()["state"] == "running"
    assert answered.get(timeout=10) == "hello"
    assert [(deed.who, deed.command, deed.arguments) for deed in tree.deeds] == [
        ("ann", "actor suspend", {"path": "core/ledger-0"}),
        ("ann", "actor resume", {"path": "core/ledger-0"}),
    ]


def test_a_restart_rebuilds_and_keeps_the_mailbox(client, tree, operator):
    behaviour = tree.ledgers[0].cell.behaviour
    assert client.post(f"{API}/actors/core/ledger-0/restart", headers=operator).status_code == 200
    wait_until(lambda: tree.ledgers[0].cell.behaviour not in {None, behaviour})
    assert tree.ledgers[0].ask("still there", timeout=10) == "still there"


def test_a_skipped_message_is_accounted_for(client, tree, operator):
    tree.trouble()
    client.post(f"{API}/actors/core/ledger-1/skip", headers=operator)
    assert tree.ledgers[1].cell.depth == 6
    assert tree.system.dead_letters.last(1)[0].message == "payment 0"
    assert tree.system.account().error == 0


def test_a_lane_that_waits_can_be_tried_again_now(client, tree, operator):
    tree.trouble()
    failures = tree.ledgers[0].cell.trouble.failures
    client.post(f"{API}/actors/core/ledger-0/retry", headers=operator)
    wait_until(lambda: tree.ledgers[0].cell.trouble.failures > failures)


def test_an_idle_student_can_be_put_away_and_a_ledger_cannot(client, tree, operator):
    tree.students.tell(STUDENT, "hello")
    wait_until(lambda: tree.students.ref(STUDENT).cell.handled)
    client.post(f"{API}/actors/core/directory/{STUDENT}/passivate", headers=operator)
    wait_until(lambda: tree.students.active == 0)
    refused = client.post(f"{API}/actors/core/ledger-0/passivate", headers=operator)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_virtual")


def test_an_unknown_act_is_404_and_the_root_is_not_restarted(client, operator):
    assert (
        client.post(f"{API}/actors/core/ledger-0/explode", headers=operator).json()["code"] == "unknown_act"
    )
    assert client.post(f"{API}/actors/{ROOT}/restart", headers=operator).json()["code"] == "root"


def test_an_operator_can_act_while_nothing_can_be_written_down(client, tree, operator):
    tree.record_away = True
    answer = client.post(f"{API}/actors/core/ledger-0/suspend", headers=operator).json()
    assert answer["recorded"] is False
    assert tree.ledgers[0].cell.suspended


def test_the_stream_tells_snapshots_and_incidents(dashboard, tree, operator):
    with Served(application(dashboard)) as served:
        with httpx2.stream("GET", served.url + API + "/stream", headers=operator, timeout=20) as answer:
            kinds: list[str] = []
            documents = []
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kinds.append(line.removeprefix("event: "))
                    if kinds == ["snapshot"]:
                        tree.system.suspend(tree.ledgers[0])
                elif line.startswith("data: "):
                    documents.append(json.loads(line.removeprefix("data: ")))
                if "incident" in kinds and len(documents) == len(kinds):
                    break
        incident = documents[kinds.index("incident")]
        assert (incident["path"], incident["kind"]) == ("core/ledger-0", "suspended")
        assert documents[0]["root"]["name"] == "root"
        wait_until(lambda: dashboard.viewers.taken == 0)
        wait_until(lambda: tree.system.vitals._listeners == [])
