"""A gateway on a real port, with real Redis, over a log and an intake that a test holds in its hands."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

import jwt
import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from actors.doorbell import DoorbellPublisher
from actors.protocol.envelope import LoggedEvent, channel, envelope_text
from actors.protocol.outcome import Outcome, Settled, Source
from actors.protocol.payments import PaymentEvent, PaymentSucceeded
from actors.protocol.undecodable import Undecodable
from actors.store.errors import DatabaseAway
from gateway.app import build_app
from gateway.door import Door, GatewayDeps
from gateway.limits import GatewayLimits
from gateway.serving import listening_socket
from gateway.tokens import TokenVerifier
from gateway.webhooks.kc import KcProvider
from kcactors.webserver import server_config

JWT_SECRET = "a secret of the tests, and long enough for HS256"
WEBHOOK_SECRET = "whsec_of_the_tests"
OLD_WEBHOOK_SECRET = "whsec_before_rotation"


class StoredFrame(NamedTuple):
    seq: int
    text: str


class StoredPage(NamedTuple):
    epoch: str
    head: int
    oldest: int
    frames: list[StoredFrame]


class MemoryLog:
    """The event log of a few students. ``append`` is the commit; ringing is left to the test. Thread-safe."""

    def __init__(self, epoch: str = "e1") -> None:
        self.current_epoch = epoch
        self.away = False
        self.reads = 0
        self._events: dict[UUID, list[StoredFrame]] = {}
        self._oldest: dict[UUID, int] = {}
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def append(self, student: UUID, event: str = "PURCHASE_CREATED", **data: Any) -> StoredFrame:
        with self._lock:
            events = self._events.setdefault(student, [])
            row = LoggedEvent(
                event_id=str(uuid4()),
                student_id=str(student),
                seq=len(events) + 1,
                type=event,
                purchase_id=str(uuid4()),
                correlation_id=data.get("payment_id", "pay_1"),
                data=msgspec.Raw(msgspec.json.encode(data)),
                created_at=datetime.now(UTC),
            )
            frame = StoredFrame(row.seq, envelope_text(row, self.current_epoch).decode())
            events.append(frame)
            return frame

    def forget_before(self, student: UUID, oldest: int) -> None:
        self._oldest[student] = oldest

    def head(self, student: UUID) -> int:
        return len(self._events.get(student, []))

    def _answer(self) -> None:
        self.reads += 1
        if self.away:
            raise DatabaseAway("the test took it away")

    async def learning(self, student_id: UUID) -> bytes:
        self._answer()
        view = {
            "student_id": student_id,
            "as_of_seq": self.head(student_id),
            "epoch": self.current_epoch,
            "courses": [],
        }
        return msgspec.json.encode(view)

    async def home(self, student_id: UUID) -> bytes:
        self._answer()
        view = {
            "student_id": student_id,
            "as_of_seq": self.head(student_id),
            "epoch": self.current_epoch,
            "counts": {"courses": 0, "purchases": 0, "waitlisted": 0, "sessions_left": 0},
            "newest_purchase": None,
            "next_session": None,
        }
        return msgspec.json.encode(view)

    async def events_after(self, student_id: UUID, after: int, limit: int) -> StoredPage:
        self._answer()
        with self._lock:
            events = self._events.get(student_id, [])
            oldest = self._oldest.get(student_id, 1)
            frames = [frame for frame in events[after : after + limit] if frame.seq >= oldest]
            return StoredPage(self.current_epoch, len(events), oldest, frames)

    async def heads(self, student_ids: Sequence[UUID]) -> dict[UUID, int]:
        self._answer()
        return {student: self.head(student) for student in student_ids if self.head(student)}

    async def epoch(self) -> str:
        return self.current_epoch

    async def ping(self) -> None:
        self._answer()


class RecordingIntake:
    """Answers each event from another thread, as the actors do; ``settled`` says how, None never answers."""

    def __init__(self) -> None:
        self.settled: Settled | None = Settled(Outcome.CREATED, UUID(int=7))
        self.events: list[PaymentEvent] = []
        self.parked: list[tuple[bytes, Undecodable, str, str | None]] = []

    def submit(self, event: PaymentEvent, source: Source) -> None:
        self.events.append(event)
        if self.settled is not None:
            threading.Thread(target=source.settle, args=(self.settled,), daemon=True).start()

    def park(
        self,
        raw: bytes,
        reason: Undecodable,
        source: Source,
        *,
        provider: str,
        event_id: str | None = None,
    ) -> None:
        self.parked.append((raw, reason, provider, event_id))
        settled = Settled(Outcome.PARKED, detail=f"{reason.field}: {reason.reason}")
        threading.Thread(target=source.settle, args=(settled,), daemon=True).start()


class Gateway:
    """A gateway served by uvicorn in a thread of its own. Use it as a context manager."""

    def __init__(
        self,
        redis_url: str,
        *,
        log: MemoryLog | None = None,
        limits: GatewayLimits | None = None,
        port: int = 0,
        **deps: Any,
    ) -> None:
        self.log = log or MemoryLog()
        self.intake: Any = deps.pop("intake", None) or RecordingIntake()
        self.registry = CollectorRegistry()
        self.limits = limits or GatewayLimits(drain_s=0.2, read_retry_s=0.05, poll_s=0.1, down_grace_s=0.1)
        arguments: dict[str, Any] = {
            "intake": self.intake,
            "reads": self.log,
            "redis_url": redis_url,
            "tokens": TokenVerifier(secret=JWT_SECRET, audience=None),
            "providers": {"kc": KcProvider([WEBHOOK_SECRET, OLD_WEBHOOK_SECRET])},
            "limits": self.limits,
            "registry": self.registry,
            "node_id": "test:1",
            "rng": random.Random(1),
        }
        self.app = build_app(GatewayDeps(**{**arguments, **deps}))
        self.door: Door = self.app.state.door
        self._listener = listening_socket("127.0.0.1", port, self.limits)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        self.publisher = DoorbellPublisher(redis_url)
        self._server = uvicorn.Server(server_config(self.app, self.limits))
        self._thread = threading.Thread(target=self._serve, name="gateway-under-test", daemon=True)

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise AssertionError("the gateway did not start")
            threading.Event().wait(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.publisher.close()

    def kill(self) -> None:
        """Stop it as uvicorn does, without our own goodbye."""
        self._server.should_exit = True
        self._thread.join(15)
        self._listener.close()
        assert not self._thread.is_alive()

    def in_loop(self, call: Any) -> Any:
        """Run a coroutine function in the gateway's loop and wait for it."""
        loop = self.door.bridge.loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(call, loop).result(20)

    def commit(
        self, student: UUID, event: str = "PURCHASE_CREATED", *, ring: bool = True, **data: Any
    ) -> StoredFrame:
        """Append to the log and, unless the doorbell is to be lost, ring."""
        frame = self.log.append(student, event, **data)
        if ring:
            self.ring(student, frame)
        return frame

    def ring(self, student: UUID, frame: StoredFrame) -> None:
        self.publisher.publish([(channel(str(student)), frame.text)])

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def token(student: UUID | None = None, *, secret: str = JWT_SECRET, ttl_s: float = 900, **claims: Any) -> str:
    """A token as the platform mints it."""
    payload: dict[str, Any] = {"exp": int(time.time() + ttl_s), **claims}
    if student is not None:
        payload["sub"] = str(student)
    return jwt.encode(payload, secret, algorithm="HS256")


class Wire:
    """A bare ``kc.v1`` client: what is sent and received is what the test says."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        await self.connection.send(msgspec.json.encode(frame).decode())

    async def frame(self, timeout_s: float = 5.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            return msgspec.json.decode(await self.connection.recv())  # type: ignore[no-any-return]

    async def until(self, kind: str, timeout_s: float = 5.0) -> dict[str, Any]:
        """The next frame of a kind; what comes before it must not be an event."""
        async with asyncio.timeout(timeout_s):
            while True:
                frame = await self.frame(timeout_s)
                if frame["type"] == kind:
                    return frame
                assert frame["type"] != "business-event", frame

    async def events(self, count: int, timeout_s: float = 5.0) -> list[int]:
        """The ``seq`` of the next events, ignoring other frames."""
        found: list[int] = []
        async with asyncio.timeout(timeout_s):
            while len(found) < count:
                frame = await self.frame(timeout_s)
                if frame["type"] == "business-event":
                    found.append(frame["seq"])
        return found

    async def closed(self, timeout_s: float = 5.0) -> int:
        """The code with which the server closes."""
        async with asyncio.timeout(timeout_s):
            await self.connection.wait_closed()
        return self.connection.close_code or 0


@contextlib.asynccontextmanager
async def wire(gateway: Gateway, bearer: str | None = None, **options: Any) -> AsyncIterator[Wire]:
    """An open socket that has said nothing yet."""
    names = ["kc.v1"] + ([f"kc.bearer.{bearer}"] if bearer else [])
    options.setdefault("subprotocols", [Subprotocol(name) for name in names])
    options.setdefault("open_timeout", 5)
    async with connect(gateway.ws_url, **options) as connection:
        yield Wire(connection)


def payment(student: UUID, **changes: Any) -> dict[str, Any]:
    """The JSON of a payment that succeeds."""
    return {
        "event_id": f"evt_{uuid4().hex}",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": f"pay_{uuid4().hex}",
        "student_id": str(student),
        "course_id": str(uuid4()),
        "tier": 10,
        "amount": 250_000,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
        **changes,
    }


def assert_one_payment(events: list[PaymentEvent]) -> PaymentSucceeded:
    assert len(events) == 1
    assert isinstance(events[0], PaymentSucceeded)
    return events[0]


def gateways(redis_url: str, count: int, log: MemoryLog) -> Iterator[Gateway]:
    """Several gateways over one log."""
    with contextlib.ExitStack() as stack:
        yield from [stack.enter_context(Gateway(redis_url, log=log)) for _ in range(count)]
