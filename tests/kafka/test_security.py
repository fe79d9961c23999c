"""Servers that demand TLS and a password, by the settings that a node has for them."""

import time
import uuid

import msgspec
import psycopg
import pytest

from actors.broker import Broker
from actors.doorbell.publisher import DoorbellPublisher
from actors.ingest.consumer import BrokerAway, PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import Windows
from actors.ingest.watch import ClientCalls
from actors.publisher.kafka import EventProducer
from actors.publisher.librdkafka import LibrdkafkaProducer
from actors.store.connection import Connection, ConnectionLimits
from actors.store.errors import DatabaseAway
from actors.topics import ensure_topics, missing_topics
from kcactors.settings import load
from tests.kafka.events import event
from tests.support.apache_kafka import apache_or_skip
from tests.support.certificates import make
from tests.support.tls_front import TlsFront
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

USER, PASSWORD = "kc", "a-secret-of-the-brokers"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Of another authority."""
    return make(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def locked_kafka(certificates):
    module = "org.apache.kafka.common.security"
    plain = f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    config = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "listener.name.client.plain.sasl.jaas.config": plain,
        "listener.name.client.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
    }
    scram = [f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)]
    added = tuple(word for each in scram for word in ("--add-scram", each))
    with apache_or_skip(config=config, protocol="SASL_SSL", format_args=added) as cluster:
        yield cluster


def way(cluster, certificates, mechanism, password=PASSWORD):
    """As a node's settings make it."""
    settings = load(
        {
            "KCACTORS_KAFKA_BOOTSTRAP": cluster.bootstrap,
            "KCACTORS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KCACTORS_KAFKA_SASL_MECHANISM": mechanism,
            "KCACTORS_KAFKA_SASL_USERNAME": USER,
            "KCACTORS_KAFKA_SASL_PASSWORD": password,
            "KCACTORS_KAFKA_SSL_CAFILE": str(certificates.authority),
        },
        frozenset({"kafka"}),
    )
    return settings.kafka.broker()


@pytest.mark.real_kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_admin_consumer_and_both_producers_come_in_with_a_password(locked_kafka, certificates, mechanism):
    broker = way(locked_kafka, certificates, mechanism)
    topic = f"t-{uuid.uuid4().hex}"
    assert ensure_topics(broker, {topic: 1}, replication=1) == [topic]
    for made in (EventProducer, LibrdkafkaProducer):
        producer = made(broker, topic, "p")
        assert producer.send([event(1)]) == [True]
        producer.close()
    member = Membership(topic=topic, group_id=topic, client_id="c")
    consumer = PaymentConsumer(broker, member, Windows(), time.monotonic, ClientCalls(time.monotonic))
    found: list[object] = []

    def both() -> bool:
        found.extend(record for _, run in consumer.poll(0.1) for record in run)
        return len(found) == 2

    wait_until(both, 40)
    consumer.close(5.0)


@pytest.mark.real_kafka
@pytest.mark.parametrize("fault", ["password", "authority", "plaintext"])
def test_who_does_not_belong_there_is_refused(locked_kafka, certificates, strangers, fault):
    broker = {
        "password": way(locked_kafka, certificates, "PLAIN", "another"),
        "authority": way(locked_kafka, strangers, "PLAIN"),
        "plaintext": Broker(bootstrap=locked_kafka.bootstrap),
    }[fault]
    member = Membership(topic="t", group_id="g", client_id="c")
    with pytest.raises(BrokerAway) as refused:
        PaymentConsumer(broker, member, Windows(), time.monotonic, ClientCalls(time.monotonic))
    assert "another" not in str(refused.value)
    with pytest.raises(ConnectionError):
        missing_topics(broker, ["t"], timeout_s=1.0)


def test_rediss_rings_the_bell_and_strangers_do_not(redis_server, certificates, strangers):
    with TlsFront(redis_server.port, certificates) as front:
        address = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs="
        DoorbellPublisher(f"{address}{certificates.authority}").publish([("student:x", b"{}")])
        for bad in (f"{address}{strangers.authority}", f"redis://127.0.0.1:{front.port}/0"):
            with pytest.raises(ConnectionError):
                DoorbellPublisher(bad, timeout_s=2.0).publish([("student:x", b"{}")])


def test_sslmode_reaches_the_database_and_strangers_do_not(
    postgres_server, database_url, certificates, strangers
):
    limits = ConnectionLimits(connect_timeout_s=5)
    with TlsFront(postgres_server.port, certificates, postgres=True) as front:
        moved = database_url.replace(f":{postgres_server.port}/", f":{front.port}/")
        join = "&" if "?" in moved else "?"
        good = f"{moved}{join}sslmode=verify-full&sslrootcert={certificates.authority}"
        with Connection(good, "test", limits) as connection:
            assert connection.rows("epoch")
        with psycopg.connect(good) as direct:
            assert direct.pgconn.ssl_in_use
        for bad in (
            f"{moved}{join}sslmode=verify-full&sslrootcert={strangers.authority}",
            f"{moved}{join}sslmode=disable",
        ):
            with Connection(bad, "test", limits) as connection, pytest.raises(DatabaseAway):
                connection.rows("epoch")


def test_a_password_is_not_shown():
    broker = Broker(bootstrap="k:9092", sasl_mechanism="PLAIN", sasl_username=USER, sasl_password=PASSWORD)
    assert PASSWORD not in repr(broker)
    assert PASSWORD in msgspec.json.encode(broker).decode(), "the test would pass for any broker without one"
