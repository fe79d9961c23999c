"""What `bench/gateway.py` measures: a gateway in a process of its own over a log in memory, or a bare echo."""

import asyncio
import contextlib
import gc
import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from actors.doorbell import DoorbellPublisher
from actors.protocol.envelope import LoggedEvent, channel, envelope_text
from gateway.app import build_app
from gateway.door import GatewayDeps
from gateway.limits import GatewayLimits
from gateway.serving import listening_socket
from gateway.tokens import TokenVerifier
from kcactors.webserver import server_config
from supervision import Collector

SECRET = "the bench's own secret, long enough for HS256"  # noqa: S105 - signs the bench's tokens only
DATA: dict[str, Any] = {
    "purchase_id": str(uuid4()),
    "course_id": str(uuid4()),
    "course_title": "Algebra",
    "tier": 10,
}
DATA_TEXT = msgspec.Raw(msgspec.json.encode(DATA))


class Frame(NamedTuple):
    """One event of the log."""

    seq: int
    text: str


class Page(NamedTuple):
    """A piece of the log."""

    epoch: str
    head: int
    oldest: int
    frames: list[Frame]


class BenchLog:
    """The event log in memory: what is measured is the door, not PostgreSQL."""

    def __init__(self) -> None:
        self._logs: dict[UUID, list[Frame]] = {}

    def commit(self, student: UUID) -> tuple[str, str]:
        log = self._logs.setdefault(student, [])
        row = LoggedEvent(
            str(uuid4()), str(student), len(log) + 1, "COURSE_PURCHASED", DATA["purchase_id"], "pay_1", DATA_TEXT,
            datetime.now(UTC),
        )  # fmt: skip
        text = envelope_text(row, "e1").decode()
        log.append(Frame(row.seq, text))
        return channel(row.student_id), text

    async def learning(self, student_id: UUID) -> bytes:
        head = len(self._logs.get(student_id, ()))
        return b'{"student_id":"%b","as_of_seq":%d,"epoch":"e1","courses":[]}' % (
            str(student_id).encode(),
            head,
        )

    home = learning

    async def events_after(self, student_id: UUID, after: int, limit: int) -> Page:
        log = self._logs.get(student_id, [])
        return Page("e1", len(log), 1, log[after : after + limit])

    async def heads(self, student_ids: Sequence[UUID]) -> dict[UUID, int]:
        return {student: len(self._logs.get(student, ())) for student in student_ids}

    async def epoch(self) -> str:
        return "e1"

    async def ping(self) -> None:
        return


class NoIntake:
    """Nothing is paid for here."""

    def submit(self, *_: Any) -> None:
        raise NotImplementedError

    def park(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def memory(_request: Request) -> JSONResponse:
    gc.collect()
    return JSONResponse({"rss": rss_bytes()})


class Feeder:
    """Commits and rings at a steady rate, as a relay would, from a thread of this process."""

    def __init__(self, log: BenchLog, redis_url: str) -> None:
        self._log, self._redis_url = log, redis_url

    async def run(self, request: Request) -> JSONResponse:
        order = await request.json()
        students = [UUID(text) for text in order["students"]]
        sent = await asyncio.to_thread(self._feed, students, order["rate"], order["seconds"], order["seed"])
        return JSONResponse({"sent": sent})

    def _feed(self, students: list[UUID], rate: int, seconds: float, seed: int) -> int:
        rng = random.Random(seed)
        publisher = DoorbellPublisher(self._redis_url)
        begin, sent = time.monotonic(), 0
        pause = threading.Event()
        while (elapsed := time.monotonic() - begin) < seconds:
            due = int(elapsed * rate) - sent
            if due:
                publisher.publish([self._log.commit(rng.choice(students)) for _ in range(due)])
                sent += due
            pause.wait(0.005)
        publisher.close()
        return sent


async def echo(websocket: WebSocket) -> None:
    """The limit that the framework sets: accept, and answer what comes."""
    await websocket.accept(subprotocol="kc.v1")
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


def bare_app() -> Starlette:
    return Starlette(routes=[WebSocketRoute("/ws", echo), Route("/bench/memory", memory)])


def gateway_app(redis_url: str, limits: GatewayLimits) -> Starlette:
    log = BenchLog()
    feeder = Feeder(log, redis_url)
    extra: list[BaseRoute] = [
        Route("/bench/memory", memory),
        Route("/bench/feed", feeder.run, methods=["POST"]),
    ]
    return build_app(
        GatewayDeps(
            intake=NoIntake(),
            reads=log,
            redis_url=redis_url,
            tokens=TokenVerifier(secret=SECRET),
            providers={},
            limits=limits,
            registry=CollectorRegistry(),
            extra_routes=extra,
        )
    )


def main() -> None:
    """``python -m bench.gateway_server gateway|bare REDIS_URL LIMITS_JSON``: prints its port, serves until killed."""
    kind, redis_url, changes = sys.argv[1:4]
    limits = GatewayLimits(**json.loads(changes))
    app = bare_app() if kind == "bare" else gateway_app(redis_url, limits)
    listener = listening_socket("127.0.0.1", 0, limits)
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(server_config(app, limits, lifespan="auto"))
    # As a node does; without it, full collections are half of what a storm costs, the echo's as well.
    collector = Collector()
    collector.tend()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
