"""The routes, over real HTTP."""

import asyncio
import threading
import time
from typing import Any
from uuid import UUID, uuid4

import httpx2
import jwt
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.protocol.outcome import Outcome, Settled
from gateway.limits import GatewayLimits
from gateway.webhooks.kc import sign
from tests.gateway.support import (
    OLD_WEBHOOK_SECRET,
    WEBHOOK_SECRET,
    Gateway,
    assert_one_payment,
    payment,
    token,
)
from tests.support.waiting import wait_until

HOOK = "/api/v1/webhooks/kc"


@pytest.fixture
def steady_http(steady):
    with httpx2.Client(base_url=steady.url, timeout=10) as client:
        yield client


@pytest.fixture
def http(gateway):
    with httpx2.Client(base_url=gateway.url, timeout=10) as client:
        yield client


def post(http, body: bytes, *, secret: str = WEBHOOK_SECRET, at: int | None = None, **headers: str):
    signature = sign(secret, body, int(time.time()) if at is None else at)
    return http.post(HOOK, content=body, headers={"KC-Signature": signature, **headers})


def bearer(student: UUID | None, **claims) -> dict[str, str]:
    return {"authorization": f"Bearer {token(student, **claims)}"}


def problem(response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"]
    return document


def test_a_signed_payment_is_answered_when_it_stands(gateway, http):
    sent = payment(uuid4())
    answer = post(http, msgspec.json.encode(sent))
    assert (answer.status_code, answer.json()) == (
        200,
        {"outcome": "created", "purchase_id": str(UUID(int=7))},
    )
    assert assert_one_payment(gateway.intake.events).payment_id == sent["payment_id"]


@pytest.mark.parametrize("secret", [WEBHOOK_SECRET, OLD_WEBHOOK_SECRET])
def test_every_secret_of_a_rotation_is_good(steady_http, secret):
    assert post(steady_http, msgspec.json.encode(payment(uuid4())), secret=secret).status_code == 200


def test_a_header_may_carry_several_signatures(steady_http):
    body = msgspec.json.encode(payment(uuid4()))
    now = int(time.time())
    good = sign(WEBHOOK_SECRET, body, now).partition(",")[2]
    header = f"t={now},v1={'0' * 64},{good}"
    assert steady_http.post(HOOK, content=body, headers={"KC-Signature": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=aa",
        "t=x,v1=aa",
        "t=1,t=2,v1=aa",
        "t=-1,v1=aa",
        "t=01,v1=aa",
        "t=٣,v1=aa".encode().decode("latin-1"),
    ],
)
def test_a_signature_header_that_is_none_is_refused(gateway, http, header):
    answer = http.post(HOOK, content=b"{}", headers={"KC-Signature": header.encode("latin-1")})
    problem(answer, 400, "bad_signature")
    assert not gateway.intake.events
    assert not gateway.intake.parked


@pytest.mark.parametrize("offset_s", [-301, 301])
def test_a_signature_from_another_time_is_refused(steady_http, offset_s):
    body = msgspec.json.encode(payment(uuid4()))
    problem(post(steady_http, body, at=int(time.time()) + offset_s), 400, "bad_signature")


def test_a_changed_body_is_refused(steady_http):
    body = msgspec.json.encode(payment(uuid4()))
    signature = sign(WEBHOOK_SECRET, body, int(time.time()))
    answer = steady_http.post(HOOK, content=body + b" ", headers={"KC-Signature": signature})
    problem(answer, 400, "bad_signature")


def test_what_does_not_decode_is_parked_and_the_field_named(gateway, http):
    answer = post(http, msgspec.json.encode(payment(uuid4(), tier=0)))
    assert answer.status_code == 200
    assert answer.json()["outcome"] == "parked"
    assert "tier" in answer.json()["detail"]
    ((raw, reason, provider, event_id),) = gateway.intake.parked
    assert (reason.field, provider) == ("tier", "kc")
    assert event_id == msgspec.json.decode(raw)["event_id"]


def test_a_provider_without_secrets_is_unknown(steady_http):
    problem(steady_http.post("/api/v1/webhooks/stripe", content=b"{}"), 404, "unknown_provider")


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(redis_url):
    limits = GatewayLimits(webhook_body_bytes=1000)
    with Gateway(redis_url, limits=limits) as served, httpx2.Client(base_url=served.url) as http:
        problem(post(http, b"x" * 1001), 413, "body_too_large")

        def endless():
            while True:
                yield b"x" * 600

        answer = http.post(HOOK, content=endless(), headers={"KC-Signature": "t=1,v1=aa"})
        problem(answer, 413, "body_too_large")


def test_no_commit_in_time_is_503_and_the_late_answer_harms_nobody(redis_url):
    with Gateway(redis_url, limits=GatewayLimits(webhook_deadline_s=0.1)) as served:
        served.intake.settled = None
        with httpx2.Client(base_url=served.url) as http:
            answer = post(http, msgspec.json.encode(payment(uuid4())))
            problem(answer, 503, "no_commit_in_time")
            assert int(answer.headers["retry-after"]) >= 1
            served.intake.settled = Settled(Outcome.EXISTS)
            assert post(http, msgspec.json.encode(payment(uuid4()))).json() == {"outcome": "exists"}
        assert served.door.webhooks_in_flight == 0


def test_a_refused_event_is_503(gateway, http):
    gateway.intake.settled = Settled(Outcome.REFUSED, detail="the ledger is full")
    answer = post(http, msgspec.json.encode(payment(uuid4())))
    assert problem(answer, 503, "not_written")["detail"] == "the ledger is full"
    assert "retry-after" in answer.headers


@pytest.mark.anyio
async def test_more_webhooks_than_may_wait_are_refused(redis_url):
    limits = GatewayLimits(webhooks_in_flight=3, webhook_deadline_s=1.0)
    with Gateway(redis_url, limits=limits) as served:
        served.intake.settled = None
        async with httpx2.AsyncClient(base_url=served.url, timeout=10) as http:
            bodies = [msgspec.json.encode(payment(uuid4())) for _ in range(6)]
            answers = await asyncio.gather(
                *(
                    http.post(
                        HOOK,
                        content=body,
                        headers={"KC-Signature": sign(WEBHOOK_SECRET, body, int(time.time()))},
                    )
                    for body in bodies
                )
            )
        codes = sorted(answer.json()["code"] for answer in answers)
        assert codes == ["no_commit_in_time"] * 3 + ["too_many_webhooks"] * 3


@pytest.mark.parametrize("route", ["learning", "home", "events", "stream"])
class TestWhoMayRead:
    def test_nobody_without_a_token(self, steady_http, route):
        answer = steady_http.get(f"/api/v1/students/{uuid4()}/{route}")
        problem(answer, 401, "no_token")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_no_expired_token(self, steady_http, route):
        student = uuid4()
        answer = steady_http.get(f"/api/v1/students/{student}/{route}", headers=bearer(student, ttl_s=-5))
        problem(answer, 401, "token_expired")

    def test_no_forged_token(self, steady_http, route):
        student = uuid4()
        forged = bearer(student, secret="another secret that is long enough too")
        problem(steady_http.get(f"/api/v1/students/{student}/{route}", headers=forged), 401, "invalid_token")

    def test_no_token_without_an_end(self, steady_http, route):
        student = uuid4()
        endless = jwt.encode(
            {"sub": str(student)}, "a secret of the tests, and long enough for HS256", algorithm="HS256"
        )
        answer = steady_http.get(
            f"/api/v1/students/{student}/{route}", headers={"authorization": f"Bearer {endless}"}
        )
        problem(answer, 401, "invalid_token")

    def test_no_other_student(self, steady_http, route):
        problem(
            steady_http.get(f"/api/v1/students/{uuid4()}/{route}", headers=bearer(uuid4())), 403, "not_yours"
        )

    def test_no_other_role(self, steady_http, route):
        answer = steady_http.get(
            f"/api/v1/students/{uuid4()}/{route}", headers=bearer(uuid4(), role="teacher")
        )
        problem(answer, 403, "not_yours")


def test_an_operator_reads_any_student(steady_http):
    answer = steady_http.get(f"/api/v1/students/{uuid4()}/learning", headers=bearer(None, role="operator"))
    assert answer.status_code == 200


def test_learning_is_never_older_than_asked(gateway, http):
    student = uuid4()
    gateway.commit(student)
    view = http.get(f"/api/v1/students/{student}/learning", params={"min_seq": 1}, headers=bearer(student))
    assert (view.status_code, view.json()["as_of_seq"]) == (200, 1)
    began = time.monotonic()
    late = http.get(f"/api/v1/students/{student}/learning", params={"min_seq": 2}, headers=bearer(student))
    problem(late, 503, "not_there_yet")
    assert 1.9 <= time.monotonic() - began < 4


@pytest.mark.parametrize("text", ["x", "-1", "1.5", str(2**53), "", "٣"])
def test_a_number_that_is_none_is_refused(steady_http, text):
    student = uuid4()
    for route, name in [("learning", "min_seq"), ("events", "after")]:
        answer = steady_http.get(
            f"/api/v1/students/{student}/{route}", params={name: text}, headers=bearer(student)
        )
        assert name in problem(answer, 400, "bad_parameter")["detail"]


def test_the_log_is_paged(gateway, http):
    student = uuid4()
    for _ in range(5):
        gateway.commit(student)
    pages = []
    after: int | None = 0
    while after is not None:
        page = http.get(
            f"/api/v1/students/{student}/events", params={"after": after, "limit": 2}, headers=bearer(student)
        ).json()
        pages.append([event["seq"] for event in page["events"]])
        assert (page["epoch"], page["head"]) == ("e1", 5)
        after = page["next"]
    assert pages == [[1, 2], [3, 4], [5]]


def test_a_cursor_that_cannot_go_on_is_told_so(gateway, http):
    student = uuid4()
    for _ in range(5):
        gateway.commit(student)
    gateway.log.forget_before(student, 4)
    url = f"/api/v1/students/{student}/events"
    assert (
        problem(http.get(url, params={"after": 2}, headers=bearer(student)), 409, "cursor_expired")["oldest"]
        == 4
    )
    assert http.get(url, params={"after": 3}, headers=bearer(student)).json()["events"][0]["seq"] == 4
    assert (
        problem(http.get(url, params={"after": 6}, headers=bearer(student)), 409, "cursor_ahead")["head"] == 5
    )


def test_a_long_poll_ends_with_the_event(gateway, http):
    student = uuid4()

    def commit_when_followed():
        wait_until(lambda: gateway.door.hub.students == 1)
        gateway.commit(student)

    thread = threading.Thread(target=commit_when_followed)
    thread.start()
    began = time.monotonic()
    page = http.get(
        f"/api/v1/students/{student}/events", params={"after": 0, "wait": 8}, headers=bearer(student)
    ).json()
    thread.join()
    assert [event["seq"] for event in page["events"]] == [1]
    assert (page["head"], page["next"]) == (1, None)
    assert time.monotonic() - began < 6
    assert gateway.door.hub.students == 0


def test_a_long_poll_without_news_ends_empty(gateway, http):
    student = uuid4()
    page = http.get(f"/api/v1/students/{student}/events", params={"wait": 1}, headers=bearer(student)).json()
    assert page == {"epoch": "e1", "head": 0, "events": [], "next": None}


def test_the_database_away_is_503_everywhere_but_alive(gateway, http):
    student = uuid4()
    gateway.log.away = True
    for route in ("learning", "home", "events"):
        problem(
            http.get(f"/api/v1/students/{student}/{route}", headers=bearer(student)), 503, "database_away"
        )
    problem(http.get("/readyz"), 503, "database_away")
    assert http.get("/healthz").status_code == 200
    gateway.log.away = False
    wait_until(lambda: http.get("/readyz").json()["status"] == "ready")


def test_ready_names_what_is_degraded(redis_url):
    with (
        Gateway(redis_url, degraded=lambda: ("kafka",)) as served,
        httpx2.Client(base_url=served.url) as http,
    ):
        answer = http.get("/readyz")
        assert (answer.status_code, answer.json()["degraded"]) == (200, ["kafka"])


def test_metrics_parse(gateway, http):
    post(http, msgspec.json.encode(payment(uuid4())))
    families = {family.name for family in text_string_to_metric_families(http.get("/metrics").text)}
    assert {
        "kcactors_webhook",
        "kcactors_heal",
        "kcactors_commit_to_send_seconds",
        "kcactors_sessions",
    } <= families
    assert gateway.count("kcactors_webhook_total", provider="kc", answer="created") == 1


def test_errors_of_routing_are_problems(steady_http):
    problem(steady_http.get("/nowhere"), 404, "not_found")
    problem(steady_http.put("/healthz"), 405, "method_not_allowed")
    problem(steady_http.get("/ws"), 426, "upgrade_required")
    problem(steady_http.get("/api/v1/students/not-a-uuid/learning"), 404, "not_found")


def test_every_answer_is_safe_to_show(steady_http):
    for path in ("/healthz", "/nowhere"):
        headers = steady_http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_answers_to_webhooks_are_safe_too(steady_http):
    for answer in (post(steady_http, msgspec.json.encode(payment(uuid4()))), steady_http.post(HOOK)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert int(answer.headers["content-length"]) == len(answer.content)


def test_the_short_way_is_only_for_the_post_of_a_known_provider(steady_http):
    problem(steady_http.get(HOOK), 405, "method_not_allowed")
    problem(steady_http.post(HOOK + "/more"), 404, "not_found")


def test_a_bug_behind_a_webhook_is_logged_and_answered_without_its_words(redis_url, caplog):
    class Broken:
        def submit(self, *_: Any) -> None:
            raise ZeroDivisionError("a secret of ours")

    with Gateway(redis_url, intake=Broken()) as served, httpx2.Client(base_url=served.url) as http:
        answer = post(http, msgspec.json.encode(payment(uuid4())))
        problem(answer, 500, "internal_error")
        assert "secret" not in answer.text
        assert "ZeroDivisionError" in caplog.text
        assert served.count("kcactors_webhook_total", provider="kc", answer="internal_error") == 1
        assert served.count("kcactors_webhooks_in_flight") == 0


def test_the_page_is_open_and_locked_down(steady_http):
    first, second = (steady_http.get(f"/students/{uuid4()}") for _ in range(2))
    assert first.status_code == 200
    policy = first.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert "unsafe" not in policy
    assert first.text.count(f'nonce="{nonce}"') == first.text.count("<script")
    assert nonce not in second.text


def test_assets_are_revalidated(steady_http):
    first = steady_http.get("/assets/kcactors.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = steady_http.get("/assets/kcactors.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    problem(steady_http.get("/assets/..%2Fapp.py"), 404, "not_found")
