"""The whole service on this machine: PostgreSQL, Redis, Apache Kafka and nodes, each a process that can be hurt."""

import contextlib
import os
import re
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from confluent_kafka import Producer

from actors.store.catalog import import_catalog
from actors.store.migrate import migrate
from actors.topics import TopicRefused
from kcactors.child import ChildNode
from kcactors.embedded import EmbeddedPostgres, EmbeddedRedis, throwaway_dir
from kcactors.embedded.ports import LOOPBACK, candidates
from kcactors.embedded.process import ServerProcess
from kcactors.embedded.surroundings import inherited
from kcactors.load import catalogue
from tests.chaos.faults import Act
from tests.support.apache_kafka import ApacheKafka
from tests.support.waiting import wait_until

COURSES = 6
KAFKA_HEALED_S = 60.0
SHARED_OUT_S = 90.0
ROOT = Path(__file__).parents[2]


class Cluster:
    """Started on entry; everything is gone on exit. `renew` gives the same servers a new and empty service.

    Args:
        kafka: a cluster that is not started yet.
        nodes: how many nodes may run.
        partitions: of both topics.
        session_timeout_s: how long the group waits for a node that is silent.
        settings: more settings for every node.
    """

    def __init__(
        self,
        kafka: ApacheKafka,
        *,
        nodes: int,
        partitions: int = 12,
        session_timeout_s: float = 3.0,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.kafka = kafka
        self.partitions = partitions
        self.session_timeout_s = session_timeout_s
        self._more = dict(settings or {})
        self._running = contextlib.ExitStack()
        self._ports = [port for port, _ in zip(candidates(tries=nodes), range(nodes), strict=False)]
        self.nodes: dict[int, ChildNode | ServerProcess] = {}
        self._life = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            self.folder = starting.enter_context(throwaway_dir())
            self.postgres = EmbeddedPostgres(self.folder / "postgres")
            starting.callback(self.postgres.destroy)
            self.postgres.start()
            self.redis = starting.enter_context(EmbeddedRedis())
            starting.enter_context(self.kafka)
            starting.callback(self.stop_nodes)
            self.renew()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def renew(self) -> None:
        """A database, topics and a consumer group that nobody has used yet; the nodes of the old ones are gone."""
        self.stop_nodes()
        old, self._life = self.database, self._life + 1
        with psycopg.connect(self.postgres.url, autocommit=True) as database:
            database.execute(f'drop database if exists "{old}" with (force)'.encode())
            database.execute(f'create database "{self.database}"'.encode())
        migrate(self.database_url)
        import_catalog(self.database_url, catalogue.document(courses=COURSES, trainers=18, capacity=100_000))
        # A broker that was healed a moment ago may not count for copies yet.
        wait_until(lambda: self._make_topics() is None, KAFKA_HEALED_S, what="topics are made")

    def _make_topics(self) -> TopicRefused | None:
        try:
            self.kafka.create_topic(self.payments, self.partitions)
            self.kafka.create_topic(self.events, self.partitions)
        except TopicRefused as refused:
            return refused
        return None

    @property
    def database(self) -> str:
        return f"life_{self._life}"

    @property
    def payments(self) -> str:
        """The topic of payment events."""
        return f"payment-events-{self._life}"

    @property
    def events(self) -> str:
        """The topic of business events."""
        return f"business-events-{self._life}"

    @property
    def group(self) -> str:
        return f"kcactors-{self._life}"

    @property
    def database_url(self) -> str:
        return self.postgres.url_of(self.database)

    def url(self, number: int) -> str:
        return f"http://{LOOPBACK}:{self._ports[number]}"

    def settings(self) -> dict[str, str]:
        return {
            "KCACTORS_DATABASE_URL": self.database_url,
            "KCACTORS_REDIS_URL": self.redis.url,
            "KCACTORS_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "KCACTORS_KAFKA_PAYMENT_TOPIC": self.payments,
            "KCACTORS_KAFKA_BUSINESS_TOPIC": self.events,
            "KCACTORS_KAFKA_GROUP_ID": self.group,
            "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": str(int(self.session_timeout_s * 1000)),
            "KCACTORS_KAFKA_PARTITIONS": str(self.partitions),
            "KCACTORS_KAFKA_FETCH_WAIT_MS": "200",
            "KCACTORS_JWT_SECRET": "chaos" * 8,
            "KCACTORS_WEBHOOK_SECRETS_KC": "chaos" * 8,
            "KCACTORS_INGEST_DRAIN_S": "3",
            "KCACTORS_GATEWAY_DRAIN_S": "1",
            "KCACTORS_NODE_STOP_TIMEOUT_S": "10",
            **self._more,
        }

    def start_node(self, number: int) -> None:
        """Begin to start it; see `wait_ready`."""
        self.nodes[number] = ChildNode(self._ports[number], self.settings(), log=self.log(number))

    def start_doomed_node(self, number: int, point: str, nth: int) -> None:
        """A node that kills itself when it reaches the fail point for the nth time."""
        argv = [sys.executable, "-m", "tests.chaos.doomed", point, str(nth)]
        argv += ["node", "--host", LOOPBACK, "--port", str(self._ports[number])]
        env = inherited(without="KCACTORS_", with_={**self.settings(), "PYTHONPATH": str(ROOT)})
        self.nodes[number] = ServerProcess(f"doomed node {number}", argv, log=self.log(number), env=env)

    def wait_ready(self) -> None:
        for node in self.nodes.values():
            if isinstance(node, ChildNode):
                node.wait_ready(60.0)

    def get(self, number: int, path: str, *, token: str | None = None) -> str:
        """What the node answers; empty while it does not."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            asked = urllib.request.Request(self.url(number) + path, headers=headers)
            with urllib.request.urlopen(asked, timeout=3.0) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def partitions_of(self, number: int) -> set[int]:
        """The payment partitions that the node owns, by its own word."""
        return {
            int(found)
            for found in re.findall(r'kafka_in_flight{partition="(\d+)"', self.get(number, "/metrics"))
        }

    def wait_shared_out(self) -> None:
        """Returns when every partition has one owner, and no node has two more than another."""
        count = len(self.nodes)
        fair = {self.partitions // count, -(-self.partitions // count)}

        def shared() -> bool:
            shares = [self.partitions_of(number) for number in self.nodes]
            whole = sum(map(len, shares)) == len(set().union(*shares)) == self.partitions
            return whole and {len(share) for share in shares} <= fair

        wait_until(shared, SHARED_OUT_S, what="partitions are shared out")

    def stop_nodes(self) -> None:
        """Kill them all."""
        for number in list(self.nodes):
            self._end(number, signal.SIGKILL)

    def log(self, number: int) -> Path:
        return self.folder / f"node-{number}.log"

    def act(self, act: Act) -> None:
        """Let a fault begin, or heal it."""
        subject = act.kind.split()[1]
        if subject == "node":
            self._hurt_node(act)
        elif subject == "broker":
            self._hurt_broker(act)
        elif subject == "PostgreSQL":
            self._hurt_postgres(act)
        elif act.begins:
            assert self.redis.pid is not None
            os.kill(self.redis.pid, signal.SIGKILL)
        else:
            self.redis.stop()
            self.redis.start()

    def _hurt_node(self, act: Act) -> None:
        if act.kind == "freeze node":
            self.nodes[act.number].send(signal.SIGSTOP if act.begins else signal.SIGCONT)
        elif not act.begins:
            self._end(act.number, signal.SIGKILL)
            self.start_node(act.number)
        else:
            self.nodes[act.number].send(signal.SIGKILL if act.kind == "kill node" else signal.SIGTERM)

    def _end(self, number: int, how: signal.Signals) -> None:
        node = self.nodes.pop(number)
        node.send(how)
        node.stop(timeout_s=0.1)

    def _hurt_broker(self, act: Act) -> None:
        broker = self.kafka.ids[act.number]
        if not act.begins:
            self.kafka.stop_broker(broker)
            self.kafka.start_broker(broker, wait=False)
        else:
            # Not waited for: it hands its partitions over while the storm goes on.
            self.kafka.signal_broker(broker, signal.SIGKILL if act.kind == "kill broker" else signal.SIGTERM)

    def _hurt_postgres(self, act: Act) -> None:
        if not act.begins:
            self.postgres.start()
        elif act.kind == "kill PostgreSQL":
            self.postgres.kill()
        else:
            self.postgres.stop()


class Feeder:
    """Sends records at a rate, through broker failures, in order of each key."""

    def __init__(self, cluster: Cluster) -> None:
        self._topic = cluster.payments
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.kafka.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "message.timeout.ms": 300_000,
                "log_level": 2,
            }
        )
        self._failed: list[str] = []
        self.partitions: dict[str, int] = {}
        """Key to the partition that it went to."""

    def send(self, key: str, body: bytes) -> None:
        self._producer.produce(self._topic, body, key, on_delivery=self._report)
        self._producer.poll(0)

    def finish(self, timeout_s: float = 120.0) -> None:
        left = self._producer.flush(timeout_s)
        assert not left, f"{left} records could not be sent"
        assert not self._failed, self._failed[:3]

    def _report(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(str(error))
        else:
            self.partitions[message.key().decode()] = message.partition()


def wait_for(moment_s: float) -> None:
    """Wait until a moment of ``time.monotonic``: what a timetable of faults is, where a test waits for conditions."""
    threading.Event().wait(max(0.0, moment_s - time.monotonic()))
