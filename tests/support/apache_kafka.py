"""Apache Kafka for tests: KRaft, one broker or three, on ports of loopback; it dies with its owner."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from actors.broker import Broker
from actors.topics import ensure_topics
from kcactors.embedded import EmbeddedKafka
from kcactors.embedded.errors import ServerFailed
from kcactors.embedded.ports import LOOPBACK, candidates
from kcactors.embedded.process import ServerProcess
from tests.support.kafka_jars import JarsMissing, class_path

_READY_S = 120.0
_HEAP = ["-Xmx320m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
_LOGGING = """\
Configuration:
  Appenders:
    Console: {name: STDOUT, PatternLayout: {pattern: "%d %p %c %m%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}
"""


class ApacheKafka:
    """A cluster. Its data lives in a temporary folder and outlives the stop of a single broker, not of the cluster.

    Args:
        brokers: how many; each is a controller too.
        config: properties for every broker, beside and above those that a test cluster needs.
        protocol: of the clients' listener: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        format_args: more arguments for ``kafka-storage format`` (SCRAM users).
    """

    def __init__(
        self,
        brokers: int = 1,
        *,
        config: Mapping[str, str] | None = None,
        protocol: str = "PLAINTEXT",
        format_args: tuple[str, ...] = (),
    ) -> None:
        self._config = dict(config or {})
        self._protocol = protocol
        self._format_args = format_args
        self._folder = Path(tempfile.mkdtemp(prefix="kcactors-apache-kafka-"))
        self._ids = list(range(1, brokers + 1))
        ports = candidates(tries=3 * brokers)
        # For each broker: for clients, between brokers, between controllers.
        self._ports = {number: (next(ports), next(ports), next(ports)) for number in self._ids}
        self._running: dict[int, ServerProcess] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{LOOPBACK}:{self._ports[number][0]}" for number in self._ids)

    @property
    def broker(self) -> Broker:
        """The way to it, for a listener without security."""
        return Broker(bootstrap=self.bootstrap)

    @property
    def ids(self) -> list[int]:
        return list(self._ids)

    def pid(self, number: int) -> int | None:
        process = self._running.get(number)
        return process.pid if process is not None and process.alive else None

    def start(self) -> None:
        """Format and start every broker; returns when all serve clients."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._folder.joinpath("log4j2.yaml").write_text(_LOGGING)
        for number in self._ids:
            self._format(number, cluster)
        for number in self._ids:
            self._spawn(number)
        for number in self._ids:
            self._wait(number)

    def start_broker(self, number: int, *, wait: bool = True) -> None:
        """Bring one that was stopped or killed back, with its data."""
        self._spawn(number)
        if wait:
            self._wait(number)

    def signal_broker(self, number: int, what: signal.Signals) -> None:
        """Deliver a signal and do not wait for what comes of it."""
        self._running[number].send(what)

    def stop_broker(self, number: int) -> None:
        """SIGTERM: it hands its leaderships over first. Harmless when it has ended."""
        self._running.pop(number).stop(timeout_s=8.0)

    def kill_broker(self, number: int) -> None:
        """SIGKILL."""
        self._running.pop(number).stop(signal.SIGKILL)

    def destroy(self) -> None:
        """End everything and forget the data."""
        for process in self._running.values():
            process.send(signal.SIGKILL)
        for process in self._running.values():
            process.stop(signal.SIGKILL)
        self._running.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_topic(self, name: str, partitions: int) -> None:
        ensure_topics(self.broker, {name: partitions}, replication=min(3, len(self._ids)))

    def grow_topic(self, name: str, partitions: int) -> None:
        """Give a topic more partitions."""
        with contextlib.closing(
            KafkaAdminClient(**Broker(bootstrap=self.bootstrap).client_config())
        ) as admin:
            admin.create_partitions({name: partitions})

    def delete_topic(self, name: str) -> None:
        with contextlib.closing(
            KafkaAdminClient(**Broker(bootstrap=self.bootstrap).client_config())
        ) as admin:
            admin.delete_topics([name])

    def log_tail(self) -> str:
        return "\n".join(process.log_tail() for process in self._running.values())

    def _java(self) -> list[str]:
        java = shutil.which("java")
        assert java is not None
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}"
        return [java, *_HEAP, logging, "-cp", class_path()]

    def _properties(self, number: int) -> Path:
        client, between, controller = self._ports[number]
        copies = str(min(3, len(self._ids)))
        voters = ",".join(f"{each}@{LOOPBACK}:{self._ports[each][2]}" for each in self._ids)
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(number),
            "listeners": f"CLIENT://{LOOPBACK}:{client},BROKER://{LOOPBACK}:{between},"
            f"CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"CLIENT://{LOOPBACK}:{client},BROKER://{LOOPBACK}:{between}",
            "listener.security.protocol.map": f"CLIENT:{self._protocol},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": voters,
            "log.dirs": str(self._folder / f"data-{number}"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": "2" if len(self._ids) > 2 else "1",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "broker.session.timeout.ms": "6000",
            "replica.lag.time.max.ms": "10000",
            "num.io.threads": "2",
            "num.network.threads": "2",
            "background.threads": "2",
            "log.cleaner.enable": "false",
            **self._config,
        }
        path = self._folder / f"server-{number}.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return path

    def _format(self, number: int, cluster: str) -> None:
        # one argument: an id may begin with "-"
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
        command += ["-c", str(self._properties(number)), *self._format_args]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            raise ServerFailed("Apache Kafka", "could not format its storage", said.stdout + said.stderr)

    def _spawn(self, number: int) -> None:
        self._running[number] = ServerProcess(
            f"Apache Kafka {number}",
            [*self._java(), "kafka.Kafka", str(self._folder / f"server-{number}.properties")],
            log=self._folder / f"kafka-{number}.log",
        )

    def _wait(self, number: int) -> None:
        self._running[number].wait_ready(lambda: self._serves(number), timeout_s=_READY_S)

    def _serves(self, number: int) -> bool:
        """Whether a client gets the list of topics from it: a port that listens is not enough."""
        port = self._ports[number][0]
        if self._protocol != "PLAINTEXT" or not _listens(port):
            return self._protocol != "PLAINTEXT" and _listens(port)
        address = f"{LOOPBACK}:{port}"
        try:
            with contextlib.closing(
                KafkaAdminClient(
                    **Broker(bootstrap=address).client_config(),
                    request_timeout_ms=3_000,
                    bootstrap_timeout_ms=3_000,
                )
            ) as admin:
                admin.list_topics()
        except (KafkaError, OSError):
            return False
        return True


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


class AnyKafka(NamedTuple):
    """A broker for tests that must hold on both: the embedded one and Apache Kafka."""

    kind: str
    broker: Broker
    create_topic: Callable[[str, int], None]


def apache_or_skip(brokers: int = 1, **options: Any) -> ApacheKafka:
    """A cluster that is not started yet. Where its jars cannot be had: left out by name, and a failure in CI."""
    try:
        class_path()
    except JarsMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run every group; real_kafka: {missing}", pytrace=False)
        pytest.skip(f"left out: real_kafka: {missing}")
    return ApacheKafka(brokers, **options)


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """One broker for the session. Tests that stop brokers take `apache_trio`."""
    with apache_or_skip() as cluster:
        yield cluster


@pytest.fixture
def apache_trio() -> Iterator[ApacheKafka]:
    """Three brokers of the test's own, to stop, kill and start; topics have three copies, writes need two."""
    with apache_or_skip(3) as cluster:
        yield cluster


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.real_kafka)])
def any_kafka(request: pytest.FixtureRequest) -> AnyKafka:
    """Each test that asks for it runs on both brokers."""
    if request.param == "apache":
        cluster: ApacheKafka = request.getfixturevalue("apache_kafka")
        return AnyKafka("apache", cluster.broker, cluster.create_topic)
    embedded: EmbeddedKafka = request.getfixturevalue("kafka_broker")
    way = Broker(bootstrap=embedded.bootstrap, api_version=embedded.api_version)
    return AnyKafka("embedded", way, embedded.create_topic)
