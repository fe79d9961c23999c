"""The pages as an operator sees them, in a real browser, with a picture of each in ``tests/artifacts``."""

import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import msgspec
import pytest

from actors.cluster.reporter import BOARD, Cluster, Reporter
from actors.doorbell import Noticeboard
from gateway.panels.cluster import ClusterPage
from gateway.panels.duplicates import DuplicatesPage
from supervision import Backoff, ChildSpec, PoisonPolicy
from supervision.dashboard import Page, environment
from tests.dashboard.stand import STUDENT, TOKEN, Served, Tree, application, dashboard_over
from tests.dashboard.test_rules import report
from tests.dashboard.visitor import LOOKS, Visitor
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


class NoDoubles:
    """The one question that the duplicates page asks of a database."""

    async def doubled(self) -> int:
        return 0


class Stand:
    """A dashboard with all its panels over a tree in trouble, a node of whose cluster is lost; load while it stands."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis
        self.tree = Tree()
        self.cluster = Cluster(self.tree.system.now)
        self._beat = 0
        self._done = threading.Event()
        self._load = threading.Thread(target=self._work, name="load", daemon=True)
        board = Noticeboard(redis.url)
        board.pin(BOARD, "lost:1", _encoded(report("lost:1", at=time.time() - 90)), 600)
        board.close()
        self.tree.system.start_child(
            None,
            ChildSpec(
                "reporter",
                lambda: Reporter(Noticeboard(redis.url, timeout_s=0.5), self.cluster, self._figures),
                drain=False,
                poison=PoisonPolicy(backoff=Backoff(0.1, 0.5)),
            ),
        )
        env = environment("gateway")
        panels: list[Page] = [
            ClusterPage(self.cluster, env, "here:1"),
            DuplicatesPage(self.cluster, NoDoubles(), env),
        ]
        self.dashboard = dashboard_over(self.tree, panels=panels)
        self.served = Served(application(self.dashboard))

    def _figures(self) -> Any:
        self._beat += 1
        return report(
            "here:1", self._beat, at=time.time(), partitions=list(range(6)), payments_per_s=120.0 + self._beat
        )

    def _work(self) -> None:
        number = 0
        while not self._done.wait(0.02):
            for _ in range(20):
                number += 1
                self.tree.students.tell(f"student-{number % 211}", number)

    def __enter__(self) -> Self:
        self.tree.trouble()
        self._load.start()
        self.served.__enter__()
        wait_until(lambda: len(self.cluster.seen()) == 2)
        return self

    def __exit__(self, *_: object) -> None:
        self.served.__exit__(None, None, None)
        self._done.set()
        self._load.join(5)
        self.tree.system.stop(5)


def _encoded(one: Any) -> bytes:
    return msgspec.json.encode(one)


@pytest.fixture(scope="module")
def shared(redis_server: Any) -> Iterator[Stand]:
    with Stand(redis_server) as made:
        yield made


@pytest.fixture
def stand(request: pytest.FixtureRequest) -> Stand:
    """For all that only look: one for them together. Who acts takes `own_stand` beside it."""
    name = "own_stand" if "own_stand" in request.fixturenames else "shared"
    found: Stand = request.getfixturevalue(name)
    return found


@pytest.fixture
def own_stand(own_redis: Any) -> Iterator[Stand]:
    with Stand(own_redis) as made:
        yield made


@pytest.fixture
def visitor(browser: Any, stand: Stand) -> Iterator[Visitor]:
    with Visitor(browser, stand.served.url, TOKEN) as made:
        yield made


def test_a_forgotten_tab_pauses_when_its_lease_ends_and_costs_nothing_from_then_on(
    browser: Any, shared: Stand
) -> None:
    dashboard = dashboard_over(shared.tree, lease_s=1.5)
    with Served(application(dashboard)) as served, Visitor(browser, served.url, TOKEN) as visitor:
        visitor.sign_in()
        visitor.page.wait_for_selector("#status[data-state=stopped]")
        assert dashboard.viewers.taken == 0
        spent_s = dashboard.meter.total_s
        visitor.page.wait_for_timeout(1_000)
        assert dashboard.meter.total_s == spent_s
        visitor.page.get_by_role("button", name="Paused, look again").click()
        visitor.live()
        assert dashboard.meter.total_s > spent_s


def test_the_token_becomes_a_session_and_leaves_the_address(visitor: Visitor) -> None:
    visitor.page.goto(visitor.home)
    visitor.page.wait_for_selector("#signin")
    visitor.picture("sign-in")
    visitor.page.fill("#token", "forged")
    visitor.page.click("#signin button")
    visitor.page.wait_for_selector("#refusal:not([hidden])")
    visitor.page.fill("#token", TOKEN)
    visitor.page.click("#signin button")
    visitor.live()
    visitor.page.goto("about:blank")
    visitor.sign_in()
    assert TOKEN not in visitor.page.url
    assert "token" not in visitor.page.content()
    assert visitor.page.evaluate("document.cookie") == "", "no script can read the cookie"


def test_a_poisoned_actor_shows_its_troubles(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.open(f"/actor?path=core/directory/{STUDENT}")
    visitor.page.locator("summary", has_text="Traceback").first.click()
    assert "a bug, said the message" in visitor.page.locator("pre").first.inner_text()
    for look in LOOKS:
        visitor.take_on(look)
        visitor.picture(f"actor-poisoned-{look}")
        assert visitor.barriers() == []
        assert not visitor.overflows()


def test_trouble_is_said_in_words(visitor: Visitor) -> None:
    visitor.sign_in()
    assert "A node is lost" in visitor.page.inner_text("main")
    visitor.open("/tree")
    text = visitor.page.inner_text("main")
    assert "suspended" in text
    assert "backing off" in text


def test_the_page_lives_while_the_load_runs(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.open("/tree")
    handled = "document.querySelector('tbody tr:last-child td').textContent"
    before = visitor.page.evaluate(handled)
    wait_until(lambda: visitor.page.evaluate(handled) != before, 20)
    assert visitor.page.locator(".figures .spark polyline").count() >= 1


def test_students_open_when_asked_and_stay_open(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.open("/tree")
    assert visitor.page.get_by_text(STUDENT).count() == 0
    visitor.page.locator("summary").first.click()
    visitor.page.locator("summary", has_text="in partition 0").click()
    visitor.page.get_by_role("link", name=STUDENT).wait_for()
    assert "open=core%2Fdirectory%2Ccore%2Fdirectory%23partition+0" in visitor.page.url
    visitor.page.reload()
    visitor.live()
    visitor.page.get_by_role("link", name=STUDENT).wait_for()


def test_an_action_asks_once_and_shows_what_it_did(own_stand: Stand, visitor: Visitor) -> None:
    ledger = own_stand.tree.ledgers[1]
    visitor.sign_in()
    visitor.open("/actor?path=core/ledger-1")
    visitor.page.get_by_role("button", name="Resume").click()
    visitor.picture("asked")
    visitor.page.get_by_role("button", name="Cancel").click()
    assert ledger.cell.suspended
    visitor.page.get_by_role("button", name="Resume").click()
    visitor.page.get_by_role("button", name="Do it").click()
    visitor.page.wait_for_selector("#toast:not([hidden])")
    assert "resume done" in visitor.page.inner_text("#toast")
    visitor.page.get_by_role("button", name="Suspend").wait_for()
    wait_until(lambda: ledger.cell.depth == 0)
    assert [(deed.who, deed.command) for deed in own_stand.tree.deeds] == [("ann", "actor resume")]


def test_the_keyboard_is_enough(visitor: Visitor, stand: Stand) -> None:
    visitor.sign_in()
    visitor.open("/actor?path=core/ledger-1")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.className") == "skip"
    visitor.page.get_by_role("button", name="Resume").focus()
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("dialog[open]")
    visitor.page.keyboard.press("Escape")
    visitor.page.wait_for_selector("dialog[open]", state="detached")
    assert stand.tree.ledgers[1].cell.suspended


def test_a_hidden_tab_costs_nothing(visitor: Visitor, stand: Stand) -> None:
    visitor.sign_in()
    wait_until(lambda: stand.dashboard.viewers.taken == 1)
    hide = (
        "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    visitor.page.evaluate(hide % "true")
    wait_until(lambda: stand.dashboard.viewers.taken == 0)
    visitor.page.evaluate(hide % "false")
    visitor.live()
    wait_until(lambda: stand.dashboard.viewers.taken == 1)
