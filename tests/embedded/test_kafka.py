import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from actors.connecting import DIRECT
from kcactors.embedded import EmbeddedKafka, ServerFailed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.kafka

VERSION = (2, 1)

OWNER = """
import signal
from kcactors.embedded import EmbeddedKafka
broker = EmbeddedKafka()
broker.start()
print(broker.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def producer(kafka_bootstrap):
    client = KafkaProducer(
        bootstrap_servers=kafka_bootstrap, api_version=VERSION, proxy_url=DIRECT, retry_backoff_ms=50
    )
    yield client
    client.close()


def read(bootstrap, topic, group, count):
    """So many values, committed. A client that learns the topic's partitions after it joined owns none: a new one."""
    values: list[bytes] = []
    while True:
        client = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            proxy_url=DIRECT,
            api_version=VERSION,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=10,
            session_timeout_ms=1500,
            heartbeat_interval_ms=400,
        )
        with contextlib.closing(client):
            patience_s = time.monotonic() + 8
            while len(values) < count and (client.assignment() or time.monotonic() < patience_s):
                for records in client.poll(100).values():
                    values += [record.value for record in records]
            if len(values) >= count:
                client.commit()
                return values


def test_a_topic_has_the_partitions_it_was_made_with(kafka_broker, producer):
    name = f"twelve-{uuid.uuid4().hex}"
    kafka_broker.create_topic(name, 12)
    kafka_broker.create_topic(name, 12)
    assert producer.partitions_for(name) == set(range(12))
    kafka_broker.delete_topic(name)
    kafka_broker.delete_topic(name)


def test_records_come_back_and_offsets_are_kept_for_the_group(
    producer, kafka_bootstrap, payment_topic, consumer_group
):
    for n in range(10):
        producer.send(payment_topic, b"%d" % n, key=b"one student")
    producer.flush()
    assert read(kafka_bootstrap, payment_topic, consumer_group, 10) == [b"%d" % n for n in range(10)]
    producer.send(payment_topic, b"later", key=b"one student").get(5)
    assert read(kafka_bootstrap, payment_topic, consumer_group, 1) == [b"later"]


def test_down_refuses_and_up_brings_everything_back(
    kafka_down, producer, kafka_bootstrap, payment_topic, consumer_group
):
    producer.send(payment_topic, b"before").get(5)
    kafka_down.set_down()
    kept = producer.send(payment_topic, b"meanwhile")
    with pytest.raises(KafkaError):
        kept.get(0.3)
    kafka_down.set_up()
    kept.get(20)
    assert sorted(read(kafka_bootstrap, payment_topic, consumer_group, 2)) == [b"before", b"meanwhile"]


def test_clients_go_through_an_advertised_proxy(kafka_proxy, kafka_bootstrap, payment_topic):
    client = KafkaProducer(bootstrap_servers=kafka_bootstrap, api_version=VERSION, proxy_url=DIRECT)
    client.send(payment_topic, b"x").get(5)
    assert kafka_proxy.accepted >= 1
    client.close()


def test_start_and_stop_twice_are_harmless():
    broker = EmbeddedKafka()
    broker.stop()
    broker.start()
    address = broker.bootstrap
    broker.start()
    assert broker.bootstrap == address
    broker.stop()
    broker.stop()
    with pytest.raises(ServerFailed, match="was not started"):
        broker.create_topic("t", 1)


def test_a_refused_topic_is_named(kafka_broker):
    with pytest.raises(ServerFailed, match="payments-zero"):
        kafka_broker.create_topic("payments-zero", 0)


def test_a_broker_that_died_is_said_to_be_gone_and_can_be_started_again():
    with EmbeddedKafka() as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: broker.pid is None)
        with pytest.raises(ServerFailed, match="is gone"):
            broker.set_down()
        broker.start()
        broker.create_topic("t", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux")
def test_dies_with_a_killed_owner():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        owner.kill()
    wait_until(
        lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    )
