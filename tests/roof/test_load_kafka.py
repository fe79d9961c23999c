"""The load test's way to Kafka, against the embedded broker."""

import asyncio
import threading
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from actors.broker import Broker
from kcactors.exits import ServiceAway
from kcactors.load import librdkafka
from kcactors.load.feeder import Feeder
from kcactors.load.librdkafka import PaymentTopic, TopicReader, partition_ids
from kcactors.load.plan import Delivery, Via
from tests.support.waiting import wait_until


@pytest.fixture
def broker(kafka_bootstrap, kafka_api_version):
    return Broker(bootstrap=kafka_bootstrap, api_version=kafka_api_version)


@pytest.fixture
def topic(broker, payment_topic, consumer_group):
    with closing(PaymentTopic(broker, payment_topic, consumer_group, embedded=True)) as opened:
        yield opened


@pytest.fixture
def commit(kafka_bootstrap, payment_topic, consumer_group):
    """Commits everything that stands in the topic, as the service would."""
    with closing(Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": consumer_group})) as consumer:

        def everything():
            for partition in partition_ids(consumer, payment_topic):
                place = TopicPartition(payment_topic, partition)
                _, end = consumer.get_watermark_offsets(place, timeout=10)
                consumer.commit(offsets=[TopicPartition(payment_topic, partition, end)], asynchronous=False)

        yield everything


def test_what_is_not_committed_is_behind(topic, commit):
    for number in range(100):
        topic.send(f"student-{number % 7}", b"{}")
    topic.flush()
    assert topic.behind() == 100
    commit()
    assert topic.behind() == 0


def test_what_others_sent_and_the_group_has_read_is_not_behind(
    topic, commit, broker, payment_topic, consumer_group
):
    topic.send("student", b"{}")
    topic.flush()
    with closing(PaymentTopic(broker, payment_topic, consumer_group, embedded=True)) as another:
        for _ in range(5):
            another.send("student", b"{}")
        another.flush()
    commit()
    assert topic.behind() == 0


def test_a_student_s_records_share_a_partition_and_keep_their_order(topic, broker, payment_topic):
    seen = []
    with closing(TopicReader(broker, payment_topic, lambda headers, value: seen.append(value))):
        for number in range(60):
            topic.send(f"student-{number % 3}", b"%d %d" % (number % 3, number))
        topic.flush()
        wait_until(lambda: len(seen) == 60)
    for student in range(3):
        numbers = [int(value.split()[1]) for value in seen if value.startswith(b"%d " % student)]
        assert numbers == sorted(numbers)


def test_a_reader_starts_at_the_present_end(topic, broker, payment_topic):
    topic.send("s", b"before")
    topic.flush()
    seen = []
    with closing(TopicReader(broker, payment_topic, lambda headers, value: seen.append(value))):
        topic.send("s", b"after")
        topic.flush()
        wait_until(lambda: seen)
    assert seen == [b"after"]


def test_the_embedded_broker_is_not_fed_beyond_what_it_keeps(topic, commit):
    big = b"x" * 100_000
    for _ in range(topic.records_before_check()):
        topic.send("one-student", b"{}")
    for _ in range(25):
        topic.send("one-student", big)
    waiter = threading.Thread(target=topic.wait_for_room)
    waiter.start()
    waiter.join(0.3)
    assert waiter.is_alive()
    commit()
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_service_that_consumes_nothing_is_named(monkeypatch, topic):
    monkeypatch.setattr(librdkafka, "_STUCK_AFTER_S", 0.2)
    for _ in range(25):
        topic.send("one-student", b"x" * 100_000)
    with pytest.raises(ServiceAway, match="consumed nothing"):
        topic.wait_for_room()


def test_a_feeder_counts_what_it_sent(topic):
    sent = [Delivery(f"p{number}", "student", b"{}", Via.KAFKA, first=True) for number in range(30)]
    feeder = Feeder(topic=topic)
    asyncio.run(feeder.feed(sent))
    assert feeder.sent.deliveries == topic.behind() == 30
    assert len(feeder.sent.due) == len(feeder.sent.unanswered) == 30


def test_a_broker_that_is_away_is_named(monkeypatch, consumer_group):
    monkeypatch.setattr(librdkafka, "_TIMEOUT_S", 0.3)
    with pytest.raises(ServiceAway, match="Kafka"):
        PaymentTopic(Broker(bootstrap="127.0.0.1:1"), "t", consumer_group, embedded=True)
