"""kafka-python puts the rest of a paused fetch aside, and forgets to take it back when nothing else moves."""

import contextlib
import time
import uuid

from kafka import KafkaProducer, TopicPartition

from actors.broker import Broker
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import WindowLimits, Windows
from actors.ingest.watch import ClientCalls
from kcactors.embedded import EmbeddedKafka
from tests.support.waiting import wait_until

FULL, BESIDE = 400, 20
# full by its span, for as long as the first record is in flight
LIMITS = WindowLimits(in_flight_max=1_000, span_max=99)


def test_the_rest_of_a_paused_fetch_comes_although_every_other_partition_is_read_up(
    kafka_broker: EmbeddedKafka,
) -> None:
    topic = f"payments-{uuid.uuid4().hex}"
    kafka_broker.create_topic(topic, 2)
    broker = Broker(bootstrap=kafka_broker.bootstrap, api_version=kafka_broker.api_version)
    producer = KafkaProducer(**broker.client_config(), linger_ms=50, batch_size=1_000_000)
    with contextlib.closing(producer):
        for partition, count in ((0, FULL), (1, BESIDE)):
            for _ in range(count):
                producer.send(topic, key=b"k", value=b"v", partition=partition)
            producer.flush(timeout=20)
    member = Membership(
        topic=topic,
        group_id=f"g-{uuid.uuid4().hex}",
        client_id="m",
        session_timeout_ms=6_000,
        poll_max_records=50,
    )
    windows = Windows()
    consumer = PaymentConsumer(broker, member, windows, time.monotonic, ClientCalls(time.monotonic))
    held: list[int] = []
    read = {0: 0, 1: 0}

    def cycle() -> None:
        consumer.balance(LIMITS)
        for window, run in consumer.poll(0.05):
            window.register([record.offset for record in run], time.monotonic())
            for record in run:
                read[record.partition.partition] += 1
                if record.partition.partition == 0 and len(held) < 1:
                    held.append(record.offset)
                else:
                    window.complete(record.offset)

    def paused() -> bool:
        cycle()
        window = windows.get(TopicPartition(topic, 0))
        return window is not None and window.paused

    try:
        wait_until(lambda: paused() and read[1] == BESIDE, 40, what="paused, and the other one read up")
        assert read[0] < FULL, "nothing was kept aside"
        window = windows.get(TopicPartition(topic, 0))
        assert window is not None
        window.complete(held[0])
        wait_until(lambda: not paused() and read[0] == FULL, 20, what="the rest of the fetch")
    finally:
        consumer.give_up()
