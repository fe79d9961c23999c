"""A failing message tried again or taken away, a parked one corrected, a group retried: clicked, over a real database.

Each is asked once and carried out once, leaves its row in ``operator_action``, and is refused without the role.
"""

import contextlib
import json
from typing import Any
from uuid import uuid4

import pytest

from actors.hand import Hand
from actors.parking.desk import Desk
from actors.protocol.payments import decode_kept
from actors.store.connection import Connection
from actors.store.overview import Overview
from actors.store.reads import Reads
from gateway.panels.parked import ParkedPage
from supervision import Actor, ActorRef, Backoff, ChildSpec, DependencyUnavailable, PoisonPolicy
from supervision.dashboard import Deed, environment
from tests.dashboard.stand import TOKEN, Served, Tree, application, dashboard_over
from tests.dashboard.visitor import Visitor
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PATH = "picky"
GROUP = "payment/course_id"


class Picky(Actor):
    """Fails with what is in ``refused``, for as long as it is."""

    def __init__(self, refused: set[str], done: list[str]) -> None:
        super().__init__()
        self._refused, self._done = refused, done

    def on_receive(self, message: str) -> None:
        if message in self._refused:
            raise DependencyUnavailable(f"not {message}")
        self._done.append(message)


class Stuck:
    """An actor that refuses the first of its two messages and waits ten minutes before each next try."""

    def __init__(self, tree: Tree) -> None:
        self.refused = {"first"}
        self.done: list[str] = []
        policy = PoisonPolicy(backoff=Backoff(600.0, 600.0))
        spec = ChildSpec(PATH, lambda: Picky(self.refused, self.done), poison=policy)
        self.ref: ActorRef[Any] = tree.system.start_child(None, spec)
        self.ref.tell("first")
        self.ref.tell("second")
        wait_until(lambda: self.ref.cell.lane_waits)

    @property
    def failures(self) -> int:
        trouble = self.ref.cell.trouble
        return trouble.failures if trouble is not None else 0


@pytest.fixture
def stuck(tree):
    return Stuck(tree)


@pytest.fixture
def served(tree, database_url):
    @contextlib.contextmanager
    def desk():
        with Connection(database_url, "test") as connection:
            yield Desk(Hand(connection, lambda _: None))

    async def audit(deed: Deed) -> None:
        async with Reads(database_url, pool_max=1) as reads:
            await Overview(reads).record(deed.who, deed.command, deed.arguments, deed.result)

    panels = [ParkedPage(desk, environment("gateway"))]
    with Served(application(dashboard_over(tree, panels=panels, audit=audit))) as running:
        yield running


@pytest.fixture
def visitor(browser, served):
    with Visitor(browser, served.url, TOKEN) as made:
        made.sign_in()
        yield made


def payment(course: str) -> dict[str, Any]:
    number = uuid4().hex[:12]
    return {
        "event_id": f"evt_{number}",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": f"pay_{number}",
        "student_id": str(uuid4()),
        "course_id": course,
        "tier": 10,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
    }


def park(database, text: str) -> int:
    """A row that nobody could read."""
    row = database.execute(
        "insert into parked (stage, reason, payload, fingerprint) values ('decode', 'not JSON', %s, %s) returning id",
        (text.encode(), uuid4().hex),
    ).fetchone()
    return int(row[0])


def deeds(database) -> list[tuple[Any, ...]]:
    return list(
        database.execute("select who, command, arguments from operator_action order by id").fetchall()
    )


def click(visitor: Visitor, button: Any, question: str) -> tuple[int, str]:
    """Turn the question down, then agree to it. Status and words of the one request that went out, words as shown."""
    page = visitor.page
    sent: list[str] = []

    def note(request: Any) -> None:
        if request.method == "POST":
            sent.append(request.url)

    page.on("request", note)
    button.click()
    page.wait_for_selector("dialog[open]")
    assert question in page.inner_text("#ask-text")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("#ask", state="hidden")
    button.click()
    with page.expect_response(lambda answer: "/do/" in answer.url) as answered:
        page.get_by_role("button", name="Do it").click()
    answer = answered.value
    told = answer.json()
    words = str(told["said"] if answer.ok else told["detail"])
    page.locator("#toast", has_text=words).wait_for()
    page.remove_listener("request", note)
    assert len(sent) == 1, "asked once, done once"
    assert not page.locator("dialog[open]").count()
    return answer.status, words


def test_the_failing_message_is_tried_again_now(visitor, stuck, database):
    visitor.open(f"/actor?path={PATH}")
    button = visitor.page.get_by_role("button", name="Retry now")
    question = "Retry? Try the failing message again now"
    before = stuck.failures
    assert click(visitor, button, question)[0] == 200
    wait_until(lambda: stuck.failures == before + 1 and stuck.ref.cell.lane_waits)
    assert stuck.done == [], "it still fails, and nothing overtakes it"
    stuck.refused.clear()
    status, said = click(visitor, button, question)
    assert (status, "retry done" in said) == (200, True)
    wait_until(lambda: stuck.done == ["first", "second"])
    button.wait_for(state="detached")
    assert visitor.page.get_by_role("button", name="Skip the first message").count() == 0
    assert deeds(database) == [("ann", "actor retry", {"path": PATH})] * 2


def test_the_failing_message_is_taken_out_of_the_way(visitor, stuck, tree, database):
    visitor.open(f"/actor?path={PATH}")
    button = visitor.page.get_by_role("button", name="Skip the first message")
    status, said = click(visitor, button, f"Skip the first message of {PATH}?")
    assert (status, "skip done" in said) == (200, True)
    wait_until(lambda: stuck.done == ["second"])
    (letter,) = tree.system.dead_letters.last()
    assert (letter.path, letter.message) == (PATH, "first")
    assert "skipped by ann" in str(letter.error)
    button.wait_for(state="detached")
    assert deeds(database) == [("ann", "actor skip", {"path": PATH})]


def test_what_was_asked_is_done_though_the_page_has_changed_meanwhile(visitor, stuck, tree, database):
    visitor.open(f"/actor?path={PATH}")
    page = visitor.page
    page.get_by_role("button", name="Suspend").click()
    page.wait_for_selector("dialog[open]")
    tree.system.suspend(stuck.ref)
    page.locator("button", has_text="Resume").wait_for(state="attached")
    with page.expect_response(lambda answer: "/do/" in answer.url):
        page.get_by_role("button", name="Do it").click()
    assert stuck.ref.cell.suspended
    assert deeds(database) == [("ann", "actor suspend", {"path": PATH})]


def test_a_parked_message_is_corrected(visitor, database):
    course = str(uuid4())
    database.execute("insert into course (course_id, title) values (%s, 'Algebra')", (course,))
    row_id = park(database, "<b>not json</b>")
    visitor.open(f"/parked?id={row_id}")
    page = visitor.page
    button = page.get_by_role("button", name="Save the corrected payload")
    question = f"Put this in the place of what message {row_id} holds?"
    stands = "select convert_from(payload, 'utf8'), state from parked"
    assert page.input_value("#payload") == "<b>not json</b>"
    page.fill("#payload", '{"type": "PAYMENT_SUCCEEDED"}')
    status, said = click(visitor, button, question)
    assert (status, "cannot be read as a payment event" in said) == (422, True)
    assert database.execute(stands).fetchone() == ("<b>not json</b>", "open")
    assert deeds(database) == []
    right = payment(course)
    page.fill("#payload", json.dumps(right))
    assert click(visitor, button, question) == (200, f"Message {row_id} is corrected; retry it now.")
    assert database.execute(stands).fetchone() == (json.dumps(right), "open")
    assert database.execute("select result from operator_action").fetchone() == (
        {"before": {"payload_text": "<b>not json</b>"}, "after": {"payload": right}},
    )
    retry = page.get_by_role("button", name="Retry", exact=True)
    assert click(visitor, retry, f"Try message {row_id} again?") == (200, f"Message {row_id}: created.")
    assert database.execute("select payment_id from purchase").fetchall() == [(right["payment_id"],)]
    retry.wait_for(state="detached")
    assert deeds(database) == [
        ("ann", "parked edit", {"id": row_id}),
        ("ann", "parked retry", {"id": row_id}),
    ]


def test_a_group_is_tried_again(visitor, database, database_url):
    course = str(uuid4())
    other = park(database, "<b>not json</b>")
    payments = [payment(course) for _ in range(2)]
    with Connection(database_url, "test") as connection:
        hand = Hand(connection, lambda _: None)
        with hand.transaction():
            hand.apply([decode_kept(json.dumps(one).encode()) for one in payments], via="kafka")
    visitor.open("/parked")
    row = visitor.page.locator(f'tr[data-key="{GROUP}"]')
    button = row.get_by_role("button", name="Retry all")
    question = "Try all messages of this group again?"
    assert click(visitor, button, question) == (200, "0 of 2 are dealt with.")
    assert database.execute("select count(*) from purchase").fetchone() == (0,)
    database.execute("insert into course (course_id, title) values (%s, 'Algebra')", (course,))
    assert click(visitor, button, question) == (200, "2 of 2 are dealt with.")
    bought = {one for (one,) in database.execute("select payment_id from purchase")}
    assert bought == {one["payment_id"] for one in payments}
    assert database.execute("select id from parked where state = 'open'").fetchall() == [(other,)]
    row.wait_for(state="detached")
    assert deeds(database) == [("ann", "parked retry", {"group": GROUP, "ids": 2})] * 4


def test_without_the_role_there_is_no_button_and_each_act_is_refused(browser, served, stuck, database):
    row_id = park(database, "<b>not json</b>")
    acts = {
        "actor/retry": {"path": PATH},
        "actor/skip": {"path": PATH},
        "parked/edit": {"id": str(row_id), "payload": json.dumps(payment(str(uuid4())))},
        "parked/retry-group": {"group": "decode/not JSON"},
    }
    before = (stuck.failures, stuck.ref.cell.depth)
    with Visitor(browser, served.url, TOKEN) as visitor:
        page = visitor.page
        for path in (f"/actor?path={PATH}", f"/parked?id={row_id}"):
            page.goto(f"{visitor.home}{path}#token=a student's")
            page.locator("#refusal", has_text="operator role").wait_for()
            assert page.get_by_role("button").all_inner_texts() == ["Sign in"]
        for act, form in acts.items():
            status = page.evaluate(
                "([act, body]) => fetch(`/supervision/do/${act}`, {method: 'POST', body, headers:"
                ' {authorization: "Bearer a student\'s"}}).then((answer) => answer.status)',
                [act, json.dumps(form)],
            )
            assert status == 401, act
        for verb in ("retry", "skip"):
            status = page.evaluate(
                "(path) => fetch(path, {method: 'POST', headers: {authorization: \"Bearer a student's\"}})"
                ".then((answer) => answer.status)",
                f"/api/v1/supervision/actors/{PATH}/{verb}",
            )
            assert status == 403, verb
        visitor.sign_in()
        session = visitor.context.cookies()
        for path, buttons in (
            (f"/actor?path={PATH}", ("Retry now", "Skip the first message")),
            (f"/parked?id={row_id}", ("Save the corrected payload", "Retry all")),
        ):
            visitor.context.add_cookies(session)
            visitor.open(path)
            visitor.context.clear_cookies()
            for name in buttons:
                status, _ = click(visitor, page.get_by_role("button", name=name), "?")
                assert status == 401, f"{name}, on a page that still stands when its session has ended"
    assert (stuck.failures, stuck.ref.cell.depth) == before
    assert stuck.done == []
    assert database.execute("select state, attempts from parked").fetchall() == [("open", 1)]
    assert deeds(database) == []
