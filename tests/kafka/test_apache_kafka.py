"""The real broker that the other tests stand on."""

import contextlib
import uuid

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from actors.broker import Broker
from actors.topics import missing_topics
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)


def send(way: Broker, topic: str, value: bytes) -> None:
    with contextlib.closing(KafkaProducer(**way.client_config())) as producer:
        producer.send(topic, key=b"k", value=value, partition=0).get(timeout=20)


def read(way: Broker, topic: str, count: int) -> list[bytes]:
    with contextlib.closing(KafkaConsumer(**way.client_config(), auto_offset_reset="earliest")) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        found: list[bytes] = []

        def enough() -> bool:
            for records in consumer.poll(timeout_ms=200).values():
                found.extend(record.value for record in records)
            return len(found) >= count

        wait_until(enough, 30)
        return found


def test_what_was_written_is_read_from_either_broker(any_kafka):
    topic = f"t-{uuid.uuid4().hex}"
    any_kafka.create_topic(topic, 1)
    send(any_kafka.broker, topic, b"1")
    assert read(any_kafka.broker, topic, 1) == [b"1"]


def test_a_topic_that_is_not_there_is_not_made_by_asking(apache_kafka):
    assert missing_topics(apache_kafka.broker, ["nobody-made-it"]) == ["nobody-made-it"]
    assert missing_topics(apache_kafka.broker, ["nobody-made-it"]) == ["nobody-made-it"]


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_three_brokers_lose_one_and_keep_every_record(apache_trio):
    topic = f"t-{uuid.uuid4().hex}"
    apache_trio.create_topic(topic, 1)
    for number in apache_trio.ids[:2]:
        send(apache_trio.broker, topic, b"before")
        apache_trio.kill_broker(number)
        send(apache_trio.broker, topic, b"while it is away")
        apache_trio.start_broker(number)
    assert read(apache_trio.broker, topic, 4) == [b"before", b"while it is away"] * 2
