"""Three nodes and one topic: who owns what, who shows what, what is reported when the topic is not as it should be."""

import asyncio
import json
import signal
import uuid
from datetime import UTC, datetime

import pytest

from kcactors.load import catalogue, plan
from kcactors.load.watchers import Watchers
from kcactors.settings import load
from kcactors.verbs.tokens import mint
from tests.chaos.audit import audit
from tests.chaos.cluster import COURSES, Cluster, Feeder
from tests.chaos.faults import Act
from tests.chaos.storm import settle
from tests.support.apache_kafka import apache_or_skip
from tests.support.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.real_kafka, pytest.mark.postgres, pytest.mark.redis, pytest.mark.timeout(240)]

NODES = (0, 1, 2)


@pytest.fixture(scope="module")
def cluster():
    # On a slow machine nobody is put away for idleness, and no node is taken for dead: who is active is counted here.
    patient = {"KCACTORS_STUDENT_IDLE_S": "600"}
    with Cluster(apache_or_skip(), nodes=len(NODES), session_timeout_s=6.0, settings=patient) as running:
        for number in NODES:
            running.start_node(number)
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def sent():
    """Every payment that this module sent."""
    return []


def captured(students=12, count=60):
    shape = plan.Shape(run=f"many-{uuid.uuid4().hex[:8]}", payments=count, students=students, seed=1)
    return plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))


def owned(cluster):
    return [cluster.partitions_of(number) for number in NODES]


def test_three_nodes_share_the_partitions_evenly_and_each_has_one_owner(cluster):
    wait_until(lambda: [len(part) for part in owned(cluster)] == [4, 4, 4], 90)
    assert set().union(*owned(cluster)) == set(range(12))


def test_a_session_on_any_node_sees_what_any_other_commits(cluster, sent):
    payments = captured()
    student = str(payments[0].student_id)
    expected = sum(str(payment.student_id) == student for payment in payments)
    settings = load(cluster.settings())

    async def watch():
        screens = Watchers(
            [student] * len(NODES),
            [cluster.url(number) for number in NODES],
            lambda who: mint(settings.auth, student_id=uuid.UUID(who), ttl_s=600),
        )
        await screens.start()
        feeder = Feeder(cluster)
        for payment in payments:
            delivery = plan.delivery(payment, plan.Via.KAFKA)
            feeder.send(delivery.student_id, delivery.body)
        await asyncio.to_thread(feeder.finish)
        sent.extend(payment.payment_id for payment in payments)
        await asyncio.to_thread(settle, cluster, len(sent))
        await wait_until_async(lambda: len({w.sequence.last for w in screens.watchers}) == 1, 30)
        seen = [(w.events, w.sequence.holes, w.sequence.repeated) for w in screens.watchers]
        await screens.stop()
        return seen

    seen = asyncio.run(watch())
    assert len(set(seen)) == 1, seen
    events, holes, repeated = seen[0]
    assert events >= 2 * expected
    assert (holes, repeated) == (0, 0)
    assert audit(cluster, sent, []) == []


def test_students_of_partitions_that_move_are_put_away(cluster, sent):
    cluster.nodes[2].send(signal.SIGTERM)
    wait_until(lambda: len(cluster.partitions_of(0) | cluster.partitions_of(1)) == 12, 60)
    payments = captured(students=60, count=120)
    feeder = Feeder(cluster)
    for payment in payments:
        feeder.send(str(payment.student_id), plan.delivery(payment, plan.Via.KAFKA).body)
    feeder.finish()
    sent.extend(payment.payment_id for payment in payments)
    settle(cluster, len(sent))
    before = [(cluster.partitions_of(number), active_students(cluster, number)) for number in (0, 1)]
    cluster.act(Act(0.0, "drain node", 2, False))
    cluster.wait_ready()
    cluster.wait_shared_out()

    def stayed(number):
        # The group may move a partition between these two as well: its students are put away like the others.
        had, active_before = before[number]
        kept = had & cluster.partitions_of(number)
        stay = sum(feeder.partitions[student] in kept for student in feeder.partitions)
        active = active_students(cluster, number)
        # Those of the tests before may be there as well, of partitions that stayed.
        assert stay <= active < min(active_before, stay + 13), (number, stay, active, active_before)
        return True

    wait_until(
        lambda: all(map(stayed, (0, 1))), 30, what="only students of partitions that stayed are active"
    )


def active_students(cluster, number):
    """As the node says."""
    token = mint(load(cluster.settings()).auth, operator=True, ttl_s=600)
    tree = json.loads(cluster.get(number, "/api/v1/supervision", token=token))["root"]
    core = next(one for one in tree["children"] if one["name"] == "core")
    return next(one for one in core["children"] if one["name"] == "directory")["active"]


def test_records_under_a_wrong_key_are_reported_and_still_correct(cluster, sent):
    payments = captured(count=30)
    feeder = Feeder(cluster)
    for number, payment in enumerate(payments):
        # Each delivery of a payment on another partition: two nodes work for one student at once.
        for copy in range(3):
            feeder.send(f"key-{number + copy}", plan.delivery(payment, plan.Via.KAFKA).body)
    feeder.finish()
    sent.extend(payment.payment_id for payment in payments)
    settle(cluster, len(sent))
    assert audit(cluster, sent, []) == []
    assert any("kafka_keys" in degraded(cluster, number) for number in NODES)
    counted = "".join(cluster.get(number, "/metrics") for number in NODES)
    assert sum(float(n) for n in _values(counted, "kcactors_kafka_wrong_keys_total")) == 90


def test_more_partitions_than_expected_are_reported_and_still_correct(cluster, sent):
    assert all("kafka_partitions" not in degraded(cluster, number) for number in NODES)
    cluster.kafka.grow_topic(cluster.payments, 15)
    cluster.stop_nodes()
    for number in NODES:
        cluster.start_node(number)
    cluster.wait_ready()
    wait_until(lambda: all("kafka_partitions" in degraded(cluster, number) for number in NODES), 90)
    payments = captured(count=30)
    feeder = Feeder(cluster)
    for payment in payments:
        feeder.send(str(payment.student_id), plan.delivery(payment, plan.Via.KAFKA).body)
    feeder.finish()
    sent.extend(payment.payment_id for payment in payments)
    settle(cluster, len(sent))
    assert audit(cluster, sent, []) == []
    assert "kafka_partitions_out" not in degraded(cluster, 0)
    # After the audit: a student whose events lie in two partitions has no order there any more.
    cluster.kafka.grow_topic(cluster.events, 15)
    cluster.stop_nodes()
    cluster.start_node(0)
    cluster.wait_ready()
    wait_until(lambda: "kafka_partitions_out" in degraded(cluster, 0), 90)


def degraded(cluster, number):
    text = cluster.get(number, "/readyz")
    return json.loads(text)["degraded"] if text else []


def _values(text, name):
    return [line.split()[1] for line in text.splitlines() if line.startswith(name + " ")]
