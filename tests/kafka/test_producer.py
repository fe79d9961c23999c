"""Both producers on both brokers: order, size, and a broker that goes away in the middle."""

import contextlib
import threading
import uuid
from collections import defaultdict

import pytest
from kafka import KafkaConsumer, TopicPartition

from actors.broker import Broker
from actors.publisher.kafka import EventProducer
from actors.publisher.librdkafka import LibrdkafkaProducer
from actors.publisher.outbox import OutboxRow, acknowledged
from actors.publisher.producer import BrokerAway
from tests.kafka.events import event
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

PRODUCERS = [EventProducer, LibrdkafkaProducer]
STUDENTS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(7)]


def seen(way: Broker, topic: str) -> dict[str, list[int]]:
    """Each student's numbers, as they lie on the topic."""
    client = KafkaConsumer(**way.client_config(), auto_offset_reset="earliest", enable_auto_commit=False)
    found: dict[str, list[int]] = defaultdict(list)
    with contextlib.closing(client) as consumer:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)

        def read() -> bool:
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    found[record.key.decode()].append(int(dict(record.headers)["ce_sequence"]))
            return all(consumer.position(place) >= ends[place] for place in places)

        wait_until(read, 40)
    return found


def first_seen(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


@pytest.fixture
def topic(any_kafka):
    name = f"events-{uuid.uuid4().hex}"
    any_kafka.create_topic(name, 3)
    return name


@pytest.mark.parametrize("made", PRODUCERS)
def test_a_round_arrives_whole_and_in_order(any_kafka, topic, made):
    producer = made(any_kafka.broker, topic, "p")
    events = [event(seq, student) for seq in range(1, 101) for student in STUDENTS]
    assert producer.send(events[:400]) == [True] * 400
    assert producer.send(events[400:]) == [True] * 300
    producer.close()
    assert seen(any_kafka.broker, topic) == {student: list(range(1, 101)) for student in STUDENTS}


def test_what_is_too_large_holds_back_its_own_student_only(any_kafka, topic):
    producer = EventProducer(any_kafka.broker, topic, "p")
    one, other = STUDENTS[:2]
    round_ = [event(1, one), event(2, one, size=2_000_000), event(1, other), event(3, one)]
    assert producer.send(round_) == [True, False, True, False]
    producer.close()
    assert seen(any_kafka.broker, topic) == {one: [1], other: [1]}


@pytest.mark.parametrize("made", PRODUCERS)
def test_nobody_there_is_said_and_nothing_goes_on_behind(made):
    nowhere = Broker(bootstrap="127.0.0.1:1", api_version="2.1")
    with pytest.raises(BrokerAway):
        send_once(made, nowhere)
    wait_until(lambda: not [t for t in threading.enumerate() if "producer" in t.name], 20)


def send_once(made, way):
    producer = made(way, "t", "p", ack_timeout_s=3.0)
    try:
        producer.send([event(1)])
    finally:
        producer.close()


@pytest.mark.parametrize("made", PRODUCERS)
def test_a_round_that_fails_is_sent_again_by_a_fresh_client_in_order(kafka_broker, made):
    """As the relay does: what did not arrive is sent again from the first that is missing."""
    way = Broker(bootstrap=kafka_broker.bootstrap, api_version=kafka_broker.api_version)
    topic = f"events-{uuid.uuid4().hex}"
    kafka_broker.create_topic(topic, 2)
    producer = made(way, topic, "p", ack_timeout_s=4.0)
    rounds = [[event(seq, s) for seq in range(start, start + 20) for s in STUDENTS] for start in (1, 21, 41)]
    assert all(producer.send(rounds[0]))
    kafka_broker.set_down()
    try:
        try:
            arrived = producer.send(rounds[1])
        except BrokerAway:
            arrived = [False]
        assert not all(arrived)
        producer.close()
    finally:
        kafka_broker.set_up()
    producer = made(way, topic, "p", ack_timeout_s=20.0)
    for each in rounds[1:]:
        assert all(producer.send(each))
    producer.close()
    for student, numbers in seen(way, topic).items():
        assert first_seen(numbers) == list(range(1, 61)), student


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("made", PRODUCERS)
def test_order_is_kept_while_brokers_die_and_come_back(apache_trio, made):
    topic = f"events-{uuid.uuid4().hex}"
    apache_trio.create_topic(topic, 3)
    producer = made(apache_trio.broker, topic, "p", ack_timeout_s=6.0)
    waiting = [event(seq, student) for seq in range(1, 201) for student in STUDENTS]
    kills = iter(apache_trio.ids)
    down = None
    tries = 0
    while waiting:
        tries += 1
        assert tries < 120, "the topic never took them all"
        if tries % 4 == 1 and down is None and (down := next(kills, None)):
            apache_trio.kill_broker(down)
        elif tries % 4 == 3 and down is not None:
            apache_trio.start_broker(down)
            down = None
        round_ = waiting[:100]
        try:
            if producer is None:
                producer = made(apache_trio.broker, topic, "p", ack_timeout_s=6.0)
            arrived = producer.send(round_)
        except BrokerAway:
            arrived = [False] * len(round_)
        if not all(arrived):
            if producer is not None:
                producer.close()
            producer = None
        rows = [OutboxRow(number, each) for number, each in enumerate(round_)]
        done = set(acknowledged(rows, arrived))
        waiting = [each for number, each in enumerate(round_) if number not in done] + waiting[100:]
    if producer is not None:
        producer.close()
    found = seen(apache_trio.broker, topic)
    assert {student: first_seen(numbers) for student, numbers in found.items()} == {
        student: list(range(1, 201)) for student in STUDENTS
    }
