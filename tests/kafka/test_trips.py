"""For what a poll that waits goes to the client's IO thread: each time is two changes of threads."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from kafka import KafkaProducer

from actors.broker import Broker
from actors.gathering import Gathering
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import Windows
from actors.ingest.watch import ClientCalls
from kcactors.embedded import EmbeddedKafka
from tests.support.waiting import wait_until

Read = Callable[[], list[bytes | None]]


@contextlib.contextmanager
def member_of(
    kafka_broker: EmbeddedKafka, **options: Any
) -> Iterator[tuple[PaymentConsumer, Read, Broker, str]]:
    """A consumer with its share, what reads from it, and where."""
    topic = f"payments-{uuid.uuid4().hex}"
    kafka_broker.create_topic(topic, 3)
    broker = Broker(bootstrap=kafka_broker.bootstrap, api_version=kafka_broker.api_version)
    member = Membership(
        topic=topic, group_id=f"g-{uuid.uuid4().hex}", client_id="m", session_timeout_ms=6_000
    )
    windows = Windows()
    consumer = PaymentConsumer(
        broker, member, windows, time.monotonic, ClientCalls(time.monotonic), **options
    )

    def read(timeout_s: float = 0.05) -> list[bytes | None]:
        found = []
        for window, run in consumer.poll(timeout_s):
            window.register([record.offset for record in run], time.monotonic())
            found += [record.value for record in run]
        return found

    try:
        wait_until(lambda: [read()] and len(windows.all()) == 3, 30, what="the share of the partitions")
        yield consumer, read, broker, topic
    finally:
        consumer.give_up()


def test_a_poll_sends_and_waits_in_one_trip_to_the_io_thread(kafka_broker: EmbeddedKafka) -> None:
    trips: list[str] = []
    with member_of(kafka_broker) as (consumer, read, broker, topic):

        def trips_of_a_poll() -> set[str]:
            trips.clear()
            read()
            return set(trips)

        network: Any = consumer._client._net
        run = network.run

        def counted(coro: Any, *args: Any) -> Any:
            trips.append(coro.__name__)
            return run(coro, *args)

        network.run = counted
        wait_until(
            lambda: trips_of_a_poll() == {"_send_and_wait"}, 10, what="every partition's place to be known"
        )
        assert [trips_of_a_poll() for _ in range(5)] == [{"_send_and_wait"}] * 5
        with contextlib.closing(KafkaProducer(**broker.client_config())) as producer:
            producer.send(topic, key=b"k", value=b"v")
            producer.flush(timeout=20)
        wait_until(lambda: read() == [b"v"], 10, what="the record")


class Resting(Gathering):
    """Rests before each poll, and remembers what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[int] = []

    def rest_s(self, now_s: float, unread: int = 0) -> float:
        return 0.012

    def came(self, records: int, now_s: float) -> None:
        self.heard.append(records)


def test_a_poll_rests_on_the_io_thread_before_it_asks_and_says_what_came(kafka_broker: EmbeddedKafka) -> None:
    gathering = Resting()
    with member_of(kafka_broker, gathering=gathering) as (consumer, read, broker, topic):
        network: Any = consumer._client._net
        resting, slept = network.sleep, []

        def counted(seconds: float) -> Any:
            slept.append(seconds)
            return resting(seconds)

        network.sleep = counted
        read()
        assert 0.012 in slept
        with contextlib.closing(KafkaProducer(**broker.client_config())) as producer:
            for value in (b"1", b"2"):
                producer.send(topic, key=b"k", value=value)
            producer.flush(timeout=20)
        wait_until(lambda: [read()] and sum(gathering.heard) == 2, 10, what="the records")


def test_what_came_while_a_poll_rested_is_handed_out_by_it(kafka_broker: EmbeddedKafka) -> None:
    with member_of(kafka_broker, gathering=Resting()) as (consumer, read, broker, topic):
        client: Any = consumer._client
        fetcher, pause = client._fetcher, client._net.sleep

        async def until_all_came(seconds: float) -> None:
            """Plays a fetch that was on its way when the rest began."""
            for _ in range(1_000):
                await fetcher._send_fetches_async()
                if len(fetcher._completed_fetches) == 3:
                    return
                await pause(0.005)

        with contextlib.closing(KafkaProducer(**broker.client_config())) as producer:
            for partition in range(3):
                producer.send(topic, key=b"k", value=b"v", partition=partition)
            producer.flush(timeout=20)
        client._net.sleep = until_all_came
        assert read() == [b"v"] * 3
