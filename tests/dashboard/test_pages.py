import re
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from supervision.dashboard.session import COOKIE
from tests.dashboard.stand import STUDENT, Tree, application, dashboard_over
from tests.support.waiting import wait_until

PAGES = ["", "/tree", "/actors", "/actor?path=core/ledger-1", "/incidents"]


@pytest.fixture
def signed_in(client, operator):
    """The client with a session; its token against forged requests is in `csrf`."""
    answer = client.post("/supervision/session", headers=operator)
    client.csrf = answer.json()["csrf"]
    return client


def do(client, what, **form):
    return client.post(f"/supervision/do/{what}", json=form, headers={"x-csrf-token": client.csrf})


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_sees_the_sign_in_and_nothing_else(client, tree, path):
    tree.trouble()
    answer = client.get("/supervision" + path)
    assert answer.status_code == 200
    assert 'id="signin"' in answer.text
    assert "ledger" not in answer.text.replace("path=core/ledger-1", "")
    assert STUDENT not in answer.text


def test_a_stranger_gets_no_live_view_and_cannot_act(client, tree):
    assert client.get("/supervision/live/tree").json()["code"] == "no_session"
    answer = client.post("/supervision/do/actor/suspend", json={"path": "core/ledger-0"})
    assert answer.status_code == 401
    assert not tree.ledgers[0].cell.suspended


@pytest.mark.parametrize(("token", "status"), [("forged", 401), ("a student's", 403)])
def test_only_an_operator_gets_a_session(client, token, status):
    answer = client.post("/supervision/session", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_strict_hidden_from_scripts_and_only_sent_here(client, operator):
    cookie = client.post("/supervision/session", headers=operator).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/supervision;" in cookie + ";"
    max_age = re.search(r"max-age=(\d+)", cookie)
    assert max_age is not None
    assert 3000 < int(max_age[1]) <= 3600, "no longer than the token"


def test_a_session_opens_no_other_door(signed_in):
    assert signed_in.get("/api/v1/supervision").status_code == 401
    answer = signed_in.post("/api/v1/supervision/actors/core/ledger-0/suspend")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_a_strict_policy_and_no_script_or_style_of_its_own(signed_in, path):
    answer = signed_in.get("/supervision" + path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    found = re.search(r"'nonce-([^']+)'", policy)
    assert found is not None
    nonce = found[1]
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce}"' in script and " src=" in script for script in scripts)
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert nonce not in signed_in.get("/supervision" + path).headers["content-security-policy"]


def test_what_comes_from_messages_is_escaped(signed_in, tree):
    tree.system.suspend(tree.ledgers[0])
    wait_until(lambda: tree.ledgers[0].cell.suspended)
    tree.ledgers[0].tell("<script>alert(1)</script>")
    text = signed_in.get("/supervision/actor?path=core/ledger-0").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_the_tree_opens_students_only_when_asked(signed_in, tree):
    tree.trouble()
    closed = signed_in.get("/supervision/tree").text
    assert "1 active" in closed
    assert "partition" not in closed
    opened = signed_in.get("/supervision/tree?open=core/directory").text
    assert "partition 0" in opened
    assert STUDENT not in opened
    group = quote("core/directory,core/directory#partition 0")
    assert STUDENT in signed_in.get(f"/supervision/tree?open={group}").text


def test_incidents_tell_lives_of_services_and_count_those_of_students(signed_in, tree):
    tree.students.tell(STUDENT, "hello")
    wait_until(lambda: tree.students.ref(STUDENT) and tree.students.ref(STUDENT).cell.handled)
    text = signed_in.get("/supervision/incidents").text
    assert "ledger-0" in signed_in.get("/supervision/incidents?kind=started").text
    assert STUDENT not in text
    assert "come and go too often to be listed" in text
    tree.system.stop_child(tree.publisher)
    stopped = signed_in.get("/supervision/incidents?kind=stopped").text
    assert "publisher" in stopped
    assert "ledger-0" not in stopped


def test_an_action_needs_the_token_against_forged_requests(signed_in, tree):
    refused = signed_in.post("/supervision/do/actor/suspend", json={"path": "core/ledger-0"})
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    foreign = signed_in.post(
        "/supervision/do/actor/suspend",
        json={"path": "core/ledger-0"},
        headers={"x-csrf-token": signed_in.csrf, "sec-fetch-site": "cross-site"},
    )
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_request")
    assert not tree.ledgers[0].cell.suspended
    assert do(signed_in, "actor/suspend", path="core/ledger-0").json()["ok"]
    assert tree.ledgers[0].cell.suspended
    assert tree.deeds[0].who == "ann"


def test_a_cookie_that_was_touched_is_no_session(signed_in):
    value = signed_in.cookies[COOKIE]
    signed_in.cookies.clear()
    signed_in.cookies.set(COOKIE, value[:-2] + "00", path="/supervision")
    assert signed_in.get("/supervision/session").status_code == 401


def test_a_session_ends_with_its_token(tree, operator):
    now = [0.0]
    dashboard = dashboard_over(tree, wall=lambda: now[0])
    client = TestClient(application(dashboard))
    client.post("/supervision/session", headers=operator)
    assert client.get("/supervision/session").status_code == 200
    now[0] = 1e11
    assert client.get("/supervision/session").status_code == 401


def test_two_nodes_share_a_session(tree, operator, client):
    client.post("/supervision/session", headers=operator)
    other = Tree()
    try:
        second = TestClient(application(dashboard_over(other, node="test:2")))
        second.cookies = client.cookies
        assert "test:2" in second.get("/supervision/tree").text
        stranger = TestClient(application(dashboard_over(other, session_key=b"another key")))
        stranger.cookies = client.cookies
        assert 'id="signin"' in stranger.get("/supervision/tree").text
    finally:
        other.system.stop(5)


def test_signing_out_takes_the_cookie_back(signed_in):
    answer = signed_in.delete("/supervision/session", headers={"x-csrf-token": signed_in.csrf})
    assert answer.status_code == 204
    assert signed_in.get("/supervision/session").status_code == 401


@pytest.mark.parametrize(
    "path", ["/supervision/nothing", "/supervision/assets/../app.py", "/supervision/assets/x.js"]
)
def test_what_is_not_there_is_404(signed_in, path):
    assert signed_in.get(path).status_code == 404


def test_a_form_has_a_bound_and_a_form(signed_in):
    headers = {"x-csrf-token": signed_in.csrf}
    large = signed_in.post("/supervision/do/actor/suspend", content=b"x" * (3 << 20), headers=headers)
    assert large.status_code == 413
    wrong = signed_in.post("/supervision/do/actor/suspend", content=b"[1]", headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_form")


def test_assets_are_revalidated(client):
    first = client.get("/supervision/assets/dashboard.js")
    again = client.get("/supervision/assets/dashboard.js", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.text) == (200, 304, "")


def test_looking_is_bounded(tree, operator):
    dashboard = dashboard_over(tree, viewers_max=0)
    client = TestClient(application(dashboard))
    assert client.get("/api/v1/supervision/stream", headers=operator).json()["code"] == "too_many_viewers"


def test_a_live_view_ends_after_its_lease(tree, operator):
    dashboard = dashboard_over(tree, lease_s=0.5, every_s=0.05)
    client = TestClient(application(dashboard))
    client.post("/supervision/session", headers=operator)
    text = client.get("/supervision/live/tree").text
    assert text.startswith("retry: ")
    assert "event: body" in text
    assert text.rstrip().endswith("event: lease-over\ndata: over")
    assert dashboard.viewers.taken == 0
