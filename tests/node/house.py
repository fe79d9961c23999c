"""A whole node as its users meet it: a process of its own, over real servers, reached from outside only."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import jwt
import psycopg
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from actors.broker import Broker
from actors.store.catalog import import_catalog
from kcactors.child import ChildNode
from kcactors.embedded.ports import candidates
from kcactors.load.signing import HEADER, signature
from tests.support.waiting import wait_until

JWT_SECRET = "a secret of the node's tests, long enough for HS256"
WEBHOOK_SECRET = "whsec_of_the_nodes_tests"


def new_payment(student: str, course: str, **changes: Any) -> dict[str, Any]:
    """A payment event as the platform writes it."""
    number = uuid4().hex[:12]
    return {
        "event_id": f"evt_{number}",
        "type": "PAYMENT_SUCCEEDED",
        "provider": "kc",
        "payment_id": f"pay_{number}",
        "student_id": student,
        "course_id": course,
        "tier": 30,
        "amount": 499_900,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
    } | changes


def catalogue(*, courses: int = 3, trainers: int = 2, capacity: int = 1000) -> dict[str, Any]:
    """Courses, each with trainers of its own."""
    ids = [str(uuid4()) for _ in range(courses)]
    return {
        "courses": [{"course_id": c, "title": f"Course {n}"} for n, c in enumerate(ids)],
        "trainers": [
            {"trainer_id": str(uuid4()), "name": f"Trainer {n}.{t}", "capacity": capacity, "courses": [c]}
            for n, c in enumerate(ids)
            for t in range(trainers)
        ],
    }


class House:
    """The servers, the catalogue, and a node that can be killed and started."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        redis_url: str,
        kafka: str,
        topics: tuple[str, str],
        catalog: dict[str, Any] | None = None,
        look_at: str | None = None,
        **settings: str,
    ) -> None:
        self._folder = folder
        self.redis_url = redis_url
        self.kafka = kafka
        self.broker = Broker(bootstrap=kafka, api_version="2.1")
        self.payment_topic, self.business_topic = topics
        document = catalog if catalog is not None else catalogue()
        import_catalog(look_at or database_url, document)
        self.courses = [c["course_id"] for c in document["courses"]]
        self.database_url = look_at or database_url
        self.settings = {
            "KCACTORS_DATABASE_URL": database_url,
            "KCACTORS_REDIS_URL": redis_url,
            "KCACTORS_KAFKA_BOOTSTRAP": kafka,
            "KCACTORS_KAFKA_API_VERSION": "2.1",
            "KCACTORS_KAFKA_PAYMENT_TOPIC": self.payment_topic,
            "KCACTORS_KAFKA_BUSINESS_TOPIC": self.business_topic,
            "KCACTORS_KAFKA_GROUP_ID": f"group-{uuid4().hex[:8]}",
            "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "KCACTORS_KAFKA_FETCH_WAIT_MS": "20",
            "KCACTORS_JWT_SECRET": JWT_SECRET,
            "KCACTORS_WEBHOOK_SECRETS_KC": WEBHOOK_SECRET,
            "KCACTORS_RECONCILER_INTERVAL_S": "1",
            "KCACTORS_RECONCILER_PAYMENT_AGE_S": "0.5",
            "KCACTORS_RECONCILER_ALLOCATION_AGE_S": "0.5",
            **settings,
        }
        self.node = self._new_node()
        self._producer: KafkaProducer | None = None

    def __enter__(self) -> Self:
        self.node.wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)
        self.node.stop()

    def _new_node(self) -> ChildNode:
        return ChildNode(next(candidates()), self.settings, log=self._folder / f"node-{uuid4().hex[:6]}.log")

    def start_again(self) -> None:
        """A new process in the place of one that has ended."""
        self.node = self._new_node()
        self.node.wait_ready()

    # in

    def webhook(self, body: dict[str, Any] | bytes, *, timeout_s: float = 15.0) -> tuple[int, dict[str, Any]]:
        """Status and answer of a signed webhook."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {HEADER: signature(WEBHOOK_SECRET, raw, int(time.time()))}
        return self.request("POST", "/api/v1/webhooks/kc", raw, headers, timeout_s=timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float = 15.0,
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else {}
        finally:
            connection.close()

    def produce(self, *values: dict[str, Any] | bytes, flush: bool = True) -> None:
        """Payment events on their topic, keyed by student."""
        if self._producer is None:
            self._producer = KafkaProducer(**self.broker.client_config(), linger_ms=5, batch_size=131_072)
        for value in values:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            key = value["student_id"].encode() if isinstance(value, dict) else b"none"
            self._producer.send(self.payment_topic, key=key, value=raw)
        if flush:
            self._producer.flush(timeout=30)

    # out

    def token(self, student: str, **claims: Any) -> str:
        return jwt.encode(
            {"sub": student, "exp": int(time.time()) + 600, **claims}, JWT_SECRET, algorithm="HS256"
        )

    def get(self, student: str, path: str) -> dict[str, Any]:
        status, answer = self.request(
            "GET",
            f"/api/v1/students/{student}/{path}",
            headers={"Authorization": f"Bearer {self.token(student)}"},
        )
        assert status == 200, answer
        return answer

    def rows(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def run(self, statement: str, parameters: Any = ()) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), parameters)

    def count(self, table: str) -> int:
        return int(self.rows(f"select count(*) from {table}")[0][0])

    def published(self) -> list[Any]:
        """Every record on the business topic, partition by partition in order of offset."""
        consumer = KafkaConsumer(**self.broker.client_config(), fetch_max_wait_ms=20)
        try:
            partitions = [
                TopicPartition(self.business_topic, p)
                for p in consumer.partitions_for_topic(self.business_topic) or ()
            ]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            while any(consumer.position(p) < ends[p] for p in partitions):
                for records in consumer.poll(timeout_ms=200).values():
                    found.extend(records)
            return found
        finally:
            consumer.close()

    @contextmanager
    def screen(self, student: str, since: dict[str, Any] | None = None) -> Iterator["Screen"]:
        """An open WebSocket of a student."""
        protocols = [Subprotocol("kc.v1"), Subprotocol(f"kc.bearer.{self.token(student)}")]
        address = f"ws://127.0.0.1:{self.node.port}/ws"
        with connect(address, subprotocols=protocols, compression=None) as socket:
            screen = Screen(socket, since)
            try:
                yield screen
            finally:
                socket.close()
                screen.reader.join(timeout=10)

    def purchases(self, student: str) -> int:
        return int(self.rows("select count(*) from purchase where student_id = %s", (student,))[0][0])

    def is_sound(self) -> None:
        """The promise, asked of the database: every purchase once and allocated or waiting, no hole in any log."""
        wait_until(
            lambda: not self.rows("select 1 from allocation where status = 'requested'"), what="allocations"
        )
        for name, statement in SOUND.items():
            assert self.rows(statement) == [], name


SOUND = {
    "a purchase without allocation": """
        select purchase_id from purchase p where status in ('paid', 'partly_refunded')
        and not exists (select from allocation a where a.purchase_id = p.purchase_id)""",
    "a payment without purchase": """
        select provider, payment_id from payment p where state = 'captured'
        and not exists (select from purchase x where (x.provider, x.payment_id) = (p.provider, p.payment_id))""",
    "a payment bought twice": "select provider, payment_id from purchase group by 1, 2 having count(*) > 1",
    "a hole in a log": """
        select student_id from event group by 1 having count(*) <> max(seq) or min(seq) <> 1""",
    "a lane that is not its log's head": """
        select student_id from lane l
        where seq <> (select count(*) from event e where e.student_id = l.student_id)""",
    "a load that is not the allocations": """
        select trainer_id from trainer t where load <> (
            select count(*) from allocation a where a.trainer_id = t.trainer_id and a.status = 'allocated')""",
}


class Screen:
    """A WebSocket that notes what it is sent, and answers pings: without a pong the gateway lets go of it."""

    def __init__(self, socket: ClientConnection, since: dict[str, Any] | None) -> None:
        self._socket = socket
        socket.send(json.dumps({"type": "connect"} | ({"since": since} if since else {})))
        self.frames: list[str] = []
        self.connected = json.loads(socket.recv(timeout=10))
        assert self.connected["type"] == "connected", self.connected
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        try:
            for frame in self._socket:
                self.frames.append(str(frame))
                if json.loads(frame)["type"] == "ping":
                    self._socket.send('{"type":"pong"}')
        except ConnectionClosed:
            return

    @property
    def events(self) -> list[dict[str, Any]]:
        return [f for f in map(json.loads, list(self.frames)) if f["type"] == "business-event"]

    @property
    def bought(self) -> list[dict[str, Any]]:
        """Without the plans of sessions, which a projection adds in its own time."""
        return [e for e in self.events if e["event"] != "SESSIONS_PLANNED"]

    @property
    def texts(self) -> list[str]:
        return [f for f in list(self.frames) if json.loads(f)["type"] == "business-event"]

    def sees(self, *types: str, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """Wait until exactly these event types have come, in this order. Plans of sessions come when they come."""
        wait_until(lambda: len(self.bought) >= len(types), timeout_s, what=f"{types} on the screen")
        events = self.bought
        assert [e["event"] for e in events] == list(types)
        return events
