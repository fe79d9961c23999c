"""Nodes that tell each other through a real Redis."""

import contextlib
import time

import msgspec
import pytest
from starlette.testclient import TestClient

from actors.cluster.report import NodeReport
from actors.cluster.reporter import BOARD, Cluster, Reporter
from actors.doorbell import Noticeboard
from gateway.panels.cluster import ClusterPage, cluster_route
from supervision import Backoff, ChildSpec, PoisonPolicy, System
from supervision.dashboard import environment
from tests.dashboard.stand import application, dashboard_over, verify
from tests.dashboard.test_rules import report
from tests.support.waiting import wait_until


class Node:
    """One node's reporter, and what it hears."""

    def __init__(self, name: str, redis_url: str) -> None:
        self.name = name
        self.system = System(name)
        self.cluster = Cluster(self.system.now)
        self.beat = 0
        self.ref = self.system.start_child(
            None,
            ChildSpec(
                "reporter",
                lambda: Reporter(Noticeboard(redis_url, timeout_s=0.5), self.cluster, self.figures),
                drain=False,
                poison=PoisonPolicy(backoff=Backoff(0.05, 0.1)),
            ),
        )

    def figures(self) -> NodeReport:
        self.beat += 1
        return report(self.name, self.beat, at=time.time())

    def hears(self) -> dict[str, str]:
        return {seen.report.id: seen.state for seen in self.cluster.seen()}

    def report(self) -> None:
        self.ref.tell("report")


@pytest.fixture
def nodes(redis_url):
    with contextlib.ExitStack() as stack:
        made = [Node(name, redis_url) for name in ("a:1", "b:1")]
        for one in made:
            stack.callback(one.system.stop, 5)
        yield made


def test_every_node_hears_of_all_and_of_a_goodbye(nodes):
    a, b = nodes

    def both():
        for one in nodes:
            with contextlib.suppress(Exception):
                one.report()
        return all(one.hears() == {"a:1": "up", "b:1": "up"} for one in nodes)

    wait_until(both)
    assert b.system.stop(5)
    wait_until(lambda: (a.ref.is_alive() and a.cluster.heard_s and a.hears() == {"a:1": "up"}) or None, 15)


def test_a_node_that_died_is_lost_and_an_old_one_is_taken_down(redis_url):
    board = Noticeboard(redis_url)
    board.pin(BOARD, "dead:1", b'{"not": "a report"}', 60)

    board.pin(BOARD, "lost:1", msgspec.json.encode(report("lost:1", at=time.time() - 60)), 60)
    board.pin(BOARD, "ancient:1", msgspec.json.encode(report("ancient:1", at=time.time() - 9999)), 60)
    node = Node("a:1", redis_url)
    try:
        wait_until(lambda: node.hears() == {"a:1": "up", "lost:1": "lost"})
        wait_until(lambda: set(board.pin(BOARD, "x", b"", 60)) == {"a:1", "lost:1", "dead:1", "x"})
    finally:
        node.system.stop(5)
        board.close()


def test_while_the_board_is_away_nobody_is_called_lost():
    now = [0.0]
    cluster = Cluster(lambda: now[0])
    cluster.hear({"a:1": report(at=1000.0), "b:1": report("b:1", at=1000.0)}, 1000.0)
    now[0] = 600.0
    cluster.own(report(beat=2, degraded=["redis"]))
    assert cluster.board_away
    assert {seen.report.id: seen.state for seen in cluster.seen()} == {"a:1": "degraded", "b:1": "up"}
    now[0] = 601.0
    cluster.hear({"a:1": report(beat=3), "b:1": report("b:1", at=1000.0)}, 1601.0)
    assert {seen.report.id: seen.state for seen in cluster.seen()} == {"a:1": "up", "b:1": "lost"}


def test_redis_away_is_said_and_what_was_known_stays(own_redis):
    node = Node("a:1", own_redis.url)
    try:
        wait_until(lambda: node.hears() == {"a:1": "up"})
        own_redis.stop()
        wait_until(lambda: node.ref.cell.lane_waits, 15, what="the reporter backs off")
        assert node.hears() == {"a:1": "up"}
        heard_s = node.cluster.heard_s
        own_redis.start()
        wait_until(lambda: node.cluster.heard_s != heard_s, 15, what="it is heard again")
    finally:
        node.system.stop(5)


def test_the_page_and_the_json_show_lost_nodes_as_lost(tree, operator):
    cluster = Cluster(tree.system.now)
    cluster.hear({"a:1": report(at=1000.0), "b:1": report("b:1", at=0.0)}, 1000.0)
    page = ClusterPage(cluster, environment("gateway"), "a:1")
    dashboard = dashboard_over(tree, panels=[page])
    client = TestClient(application(dashboard, [cluster_route(cluster, "a:1", verify)]))
    assert client.get("/api/v1/cluster").status_code == 401
    document = client.get("/api/v1/cluster", headers=operator).json()
    assert {one["id"]: one["state"] for one in document["nodes"]} == {"a:1": "up", "b:1": "lost"}
    assert document["totals"]["lost"] == 1
    client.post("/supervision/session", headers=operator)
    text = client.get("/supervision").text
    assert 'data-state="lost"' in text
    assert "A node is lost" in text
