"""A short storm, and the crash matrix. The gate runs three storms (``--quick``), ``make chaos`` twenty long ones."""

import uuid
from datetime import UTC, datetime

import pytest

from actors.failpoint import POINTS
from kcactors.load import catalogue, plan
from tests.chaos.audit import audit
from tests.chaos.cluster import COURSES, Cluster, Feeder
from tests.chaos.faults import Act
from tests.chaos.storm import QUICK, run, settle
from tests.support.apache_kafka import apache_or_skip
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real_kafka, pytest.mark.postgres, pytest.mark.redis]

FEW = ("ledger.applied", "relay.sent", "ingest.drained")
"""Points that `make test` has the time for; the others run with ``--with chaos``."""


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_short_storm_breaks_no_promise():
    with Cluster(apache_or_skip(), nodes=3) as cluster:
        for number in range(3):
            cluster.start_node(number)
        cluster.wait_ready()
        found = run(cluster, QUICK)
    assert found.purchases == QUICK.payments
    assert len(found.faults) > 5
    assert found.wrong == []


@pytest.fixture(scope="module")
def cluster():
    """Two places for nodes; each case starts its own and leaves none behind."""
    with Cluster(apache_or_skip(), nodes=2, partitions=4, session_timeout_s=2.0) as running:
        yield running


@pytest.fixture
def sent(cluster):
    """Payment ids of everything that was ever sent to this cluster: the audit looks at all of it."""
    yield SENT
    cluster.stop_nodes()


SENT: list[str] = []


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    "point", [point if point in FEW else pytest.param(point, marks=pytest.mark.chaos) for point in POINTS]
)
def test_a_node_that_dies_at_a_fail_point_leaves_nothing_undone(cluster, sent, point):
    moves = point in {"ingest.revoked", "ingest.drained", "ingest.drain_committed"}
    cluster.start_doomed_node(0, point, 1)
    if moves or point == "ingest.lost":
        # It must own partitions before they can be taken from it.
        feed(cluster, sent)
        settle(cluster, len(sent))
        cluster.start_node(1)
    if point == "ingest.lost":
        cluster.wait_ready()
        cluster.act(Act(0.0, "freeze node", 0, True))
        wait_until(lambda: len(cluster.partitions_of(1)) == cluster.partitions, 60)
        cluster.act(Act(0.0, "freeze node", 0, False))
    feed(cluster, sent)
    try:
        wait_until(lambda: cluster.nodes[0].exit_code is not None, 120, what=f"{point} is reached")
    except AssertionError as error:
        state = cluster.get(0, "/readyz"), cluster.partitions_of(0)
        raise AssertionError(f"{error}: {state}\n{cluster.log(0).read_text()[-6000:]}") from error
    assert cluster.nodes[0].exit_code == -9, cluster.log(0).read_text()[-3000:]
    if not moves and point != "ingest.lost":
        cluster.start_node(1)
    cluster.wait_ready()
    settle(cluster, len(sent))
    assert audit(cluster, sent, []) == []


def feed(cluster, sent, count=40):
    shape = plan.Shape(run=f"crash-{uuid.uuid4().hex[:8]}", payments=count, students=10, seed=1)
    captured = plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))
    feeder = Feeder(cluster)
    for delivery in plan.deliveries(shape, captured, count):
        feeder.send(delivery.student_id, delivery.body)
    feeder.finish()
    sent.extend(payment.payment_id for payment in captured)
