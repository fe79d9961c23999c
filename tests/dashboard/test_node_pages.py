"""Every page of a whole node under load and in trouble, in a real browser, with a picture in ``tests/artifacts``.

In trouble: a suspended ledger, a student whose payment the database refuses, records that nobody can read, a node that
left its last report behind, and in the end Redis away.
"""

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest

from actors.cluster.reporter import BOARD
from actors.doorbell import Noticeboard
from actors.ingest.partition import partition_of
from actors.store.migrate import migrate
from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.dashboard.test_rules import report
from tests.dashboard.visitor import LOOKS, Visitor
from tests.node.conftest import create_database
from tests.node.house import House, new_payment
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PARTITIONS = 12
POISONED = "0d5f6a52-6c53-4d5e-9b0c-0d6a5fd6ab01"
REFUSE = f"""
create function refuse() returns trigger language plpgsql as $$ begin
    if new.student_id = '{POISONED}' then raise check_violation using message = 'this student is poison'; end if;
    return new;
end $$;
create trigger refuse before insert on purchase for each row execute function refuse()"""
GROUP = f"core/directory#partition {partition_of(POISONED, PARTITIONS)}"
PAGES = {
    "cluster": "/cluster",
    "duplicates": "/duplicates",
    "parked": "/parked",
    "parked-one": "/parked?id=1",
    "tree": f"/tree?open={quote(f'core/directory,{GROUP}')}",
    "actors": f"/actors?q={POISONED}",
    "actor-suspended": "/actor?path=core/ledger-1",
    "actor-student": f"/actor?path=core/directory/{POISONED}",
    "incidents": "/incidents",
}


class Site:
    """A node with everything, the report of one that died, customers who pay and pay again, and trouble."""

    def __init__(self, house: House, redis: EmbeddedRedis) -> None:
        self.house = house
        self.redis = redis
        self.token = house.token("ann", role="operator")
        self._over = threading.Event()
        self._lanes = [threading.Thread(target=self._pay, args=(lane,), daemon=True) for lane in range(6)]

    def act(self, path: str, verb: str) -> int:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.house.request("POST", f"/api/v1/supervision/actors/{path}/{verb}", headers=headers)[0]

    def nodes(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}"}
        _, document = self.house.request("GET", "/api/v1/cluster", headers=headers)
        return {one["id"]: one["state"] for one in document["nodes"]}

    def _pay(self, lane: int) -> None:
        students = [str(uuid4()) for _ in range(50)]
        number = 0
        while not self._over.wait(0.05):
            number += 1
            payment = new_payment(students[number % 50], self.house.courses[number % 3])
            try:
                for event in ("a", "b"):
                    self.house.webhook(payment | {"event_id": f"{payment['event_id']}-{event}"})
            except OSError:
                continue

    def __enter__(self) -> Self:
        board = Noticeboard(self.redis.url)
        board.pin(
            BOARD,
            "lost:1",
            msgspec.json.encode(report("lost:1", at=time.time() - 90, started_at=time.time() - 7_000)),
            600,
        )
        board.close()
        for lane in self._lanes:
            lane.start()
        self.house.run(REFUSE)
        self.house.produce(b'{"type": "PAYMENT_SUCCEEDED", "payment_id": "pay_1"}', b"<b>not json</b>")
        assert self.house.webhook(new_payment(POISONED, self.house.courses[0]))[1]["outcome"] == "parked"
        assert self.act("core/ledger-1", "suspend") == 200
        wait_until(lambda: "lost" in self.nodes().values(), 30, what="a lost node")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for lane in self._lanes:
            lane.join(20)
        # Nothing is left to be drained for.
        self.house.node.send(signal.SIGKILL)


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, kafka_broker: EmbeddedKafka
) -> Iterator[Site]:
    number = uuid4().hex[:8]
    database_url = create_database(postgres_server, f"site_{number}")
    migrate(database_url)
    topics = (f"payment-events-{number}", f"business-events-{number}")
    for topic in topics:
        kafka_broker.create_topic(topic, PARTITIONS)
    folder = tmp_path_factory.mktemp("site")
    with (
        EmbeddedRedis() as redis,
        House(
            folder,
            database_url=database_url,
            redis_url=redis.url,
            kafka=kafka_broker.bootstrap,
            topics=topics,
        ) as house,
        Site(house, redis) as made,
        house.screen(str(uuid4())),
    ):
        yield made


def visiting(browser: Any, site: Site, **context: Any) -> Visitor:
    return Visitor(browser, site.house.node.url, site.token, **context)


def test_every_page_can_be_read_by_everybody(browser: Any, site: Site) -> None:
    found: dict[str, list[str]] = {}
    with visiting(browser, site) as visitor:
        visitor.sign_in()
        for name, path in PAGES.items():
            visitor.open(path)
            assert visitor.page.locator("h1").count() == 1, name
            for look in LOOKS:
                visitor.take_on(look)
                visitor.picture(f"node-{name}-{look}")
                assert not visitor.overflows(), (name, look)
                if look != "phone":
                    found[f"{name} {look}"] = visitor.barriers()
    assert "\n".join(one for barriers in found.values() for one in barriers) == "", found


def test_trouble_is_said_in_words(browser: Any, site: Site) -> None:
    with visiting(browser, site) as visitor:
        visitor.sign_in()
        assert "A node is lost" in visitor.page.inner_text("main")

        def tree() -> str:
            visitor.open(PAGES["tree"])
            return str(visitor.page.inner_text("main"))

        assert "suspended" in tree()
        # Half of the customers wait for the suspended ledger: it takes some time until one of each partition has come.
        wait_until(lambda: "partition 11" in tree(), 60, what="somebody of the last partition")
        visitor.open("/incidents")
        text = visitor.page.inner_text("main")
        assert "this student is poison" in text
        assert "suspended" in text
        assert "come and go too often to be listed" in text
        visitor.open("/incidents?kind=started")
        assert "publisher/relay" in visitor.page.inner_text("main")


def test_the_tree_and_the_cluster_live_while_the_load_runs(browser: Any, site: Site) -> None:
    with visiting(browser, site) as visitor:
        visitor.sign_in()
        handled = "document.querySelector('tbody tr:last-child td').textContent"
        visitor.open("/tree")
        before = visitor.page.evaluate(handled)
        wait_until(lambda: visitor.page.evaluate(handled) != before, 20)
        assert "%" in visitor.page.inner_text("#cost")


def test_what_is_clicked_is_done_and_written_down(browser: Any, site: Site) -> None:
    def click(visitor: Visitor, name: str) -> str:
        visitor.page.get_by_role("button", name=name, exact=True).first.click()
        visitor.page.get_by_role("button", name="Do it").click()
        visitor.page.wait_for_selector("#toast:not([hidden])")
        said: str = visitor.page.inner_text("#toast")
        visitor.page.evaluate("document.getElementById('toast').hidden = true")
        return said

    with visiting(browser, site) as visitor:
        visitor.sign_in()
        visitor.open("/actor?path=core/ledger-1")
        assert "resume done" in click(visitor, "Resume")
        visitor.open("/actor?path=core/allocator")
        assert "suspend done, now suspended" in click(visitor, "Suspend")
        assert "resume done, now running" in click(visitor, "Resume")
        visitor.open("/actor?path=audit")
        assert "restart done" in click(visitor, "Restart")
        assert site.house.webhook(new_payment(POISONED, site.house.courses[0]))[1]["outcome"] == "parked"
        visitor.open(f"/actor?path=core/directory/{POISONED}")
        assert "passivate done" in click(visitor, "Put away")
        visitor.page.get_by_text("Nobody of that name is active now").wait_for()
        visitor.open("/parked?id=1")
        assert "stays" in click(visitor, "Retry")
        visitor.page.fill("[name=reason]", "nobody will miss it")
        assert "put aside" in click(visitor, "Discard")
    done = site.house.rows("select command from operator_action where who = 'ann' order by id")
    assert [command for (command,) in done] == [
        *[
            "actor suspend",
            "actor resume",
            "actor suspend",
            "actor resume",
            "actor restart",
            "actor passivate",
        ],
        *["parked retry", "parked discard"],
    ]


def test_without_the_role_nothing_is_shown_and_nothing_is_done(browser: Any, site: Site) -> None:
    student = site.house.token(str(uuid4()))
    with Visitor(browser, site.house.node.url, student) as visitor:
        visitor.page.goto(f"{visitor.home}/parked?id=2#token={student}")
        visitor.page.wait_for_selector("#refusal:not([hidden])")
        assert "operator" in visitor.page.inner_text("#refusal")
        text = visitor.page.content()
        assert student not in text
        assert "not json" not in text
        assert visitor.page.evaluate(
            "fetch('/supervision/do/actor/suspend', {method: 'POST', body: '{\"path\": \"core/ledger-0\"}'})"
            ".then((answer) => answer.status)"
        ) in {401, 403}
    headers = {"Authorization": f"Bearer {student}"}
    for verb, path in (
        ("GET", "/api/v1/supervision"),
        ("GET", "/api/v1/parked/2"),
        ("GET", "/api/v1/cluster"),
        ("POST", "/api/v1/supervision/actors/core/ledger-0/suspend"),
    ):
        status, answer = site.house.request(verb, path, headers=headers)
        assert (status, "not json" in str(answer)) == (403, False), path


def test_the_keyboard_reaches_everything_that_can_be_clicked(browser: Any, site: Site) -> None:
    with visiting(browser, site) as visitor:
        visitor.sign_in()
        visitor.open("/actor?path=core/ledger-0")
        reached = visitor.reached_by_tab()
        assert reached[0] == "Skip to content"
        assert {"Cluster", "Parked", "Suspend", "Restart", "Sign out"} <= set(reached)


def test_redis_away_is_said_and_the_pages_go_on(browser: Any, site: Site) -> None:
    with visiting(browser, site) as visitor:
        visitor.sign_in()
        site.redis.stop()
        visitor.page.get_by_text("Redis is away").wait_for()
        visitor.picture("node-cluster-redis-away")
        visitor.open("/incidents?kind=dependency_lost")
        visitor.page.locator("li", has_text="Redis is away").first.wait_for()
        visitor.picture("node-incidents-redis-away")
        visitor.open("/tree")
        visitor.picture("node-tree-redis-away")
        site.redis.start()
        visitor.open("/incidents?kind=dependency_back")
        visitor.page.get_by_role("link", name="reporter").first.wait_for()
