"""The door, measured: what a session costs, how soon an event is on its screen, a storm, and a reader that stalls.

One gateway process over a log in memory and a real Redis; clients in this process. Beside it a bare Starlette WebSocket
echo on the same machine: what the framework itself costs.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx2
import jwt
import uvloop

from bench.gateway_server import SECRET
from bench.lean_client import LeanClient, masked_text
from kcactors.embedded import EmbeddedRedis

GROUP = "gateway"
GIB = 1 << 30
SEQ = re.compile(rb'^\{"type":"business-event","seq":(\d+)')
TS = re.compile(rb'"ts":"([^"]+)"')


class Row(NamedTuple):
    """One measured value; ``ratio`` is to the row named ``baseline``."""

    group: str
    name: str
    value: float
    unit: str
    baseline: str | None = None
    ratio: float | None = None


class Server(NamedTuple):
    """A server under measurement, in a process of its own."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU seconds that the process has used; a busy machine changes them little."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self) -> int:
        """Open sockets of the server's process."""
        found = 0
        for path in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(path.readlink()).startswith("socket:")
        return found

    async def rss(self) -> int:
        async with httpx2.AsyncClient() as http:
            return int((await http.get(f"{self.url}/bench/memory", timeout=30)).json()["rss"])


@contextlib.contextmanager
def serving(kind: str, redis_url: str, **limits: Any) -> Iterator[Server]:
    arguments = [sys.executable, "-m", "bench.gateway_server", kind, redis_url, json.dumps(limits)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        server = Server(int(process.stdout.readline()), process.pid)
        _wait_for(server.port)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError("the measured server did not start")


def token(student: UUID) -> str:
    return jwt.encode({"sub": str(student), "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256")


class Screen:
    """One client: what it saw, and how late."""

    def __init__(self, student: UUID, crowd: "Crowd") -> None:
        self.student, self.crowd = student, crowd
        self.last: int | None = None
        self.holes = 0
        self.tries = 0
        self.connected = asyncio.Event()
        self.client: LeanClient | None = None

    async def open(self) -> bool:
        hello: dict[str, Any] = {"type": "connect"}
        if self.last is not None:
            hello["since"] = {"epoch": "e1", "seq": self.last}
        self.connected.clear()
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: LeanClient(
                host=f"127.0.0.1:{self.crowd.port}",
                token=token(self.student),
                hello=json.dumps(hello).encode(),
                on_text=self.take,
                on_end=self.connected.set,
            ),
            "127.0.0.1",
            self.crowd.port,
        )
        self.client = client
        return await client.opened

    def take(self, text: bytes) -> None:
        event = SEQ.match(text)
        if event is None:
            self.control(text)
            return
        seq = int(event[1])
        if self.last is not None and seq != self.last + 1:
            self.holes += seq > self.last + 1
            return
        self.last = seq
        self.crowd.seen += 1
        if self.crowd.timed is not None:
            at = TS.search(text)
            assert at is not None
            self.crowd.timed.append(time.time() - moment(at[1]))

    def control(self, text: bytes) -> None:
        if text.startswith(b'{"type":"connected"'):
            if self.last is None:
                self.last = json.loads(text)["head"]
        elif text.startswith(b'{"type":"caught-up"'):
            self.connected.set()
        elif text.startswith(b'{"type":"ping"') and self.client is not None:
            self.client.send(b'{"type":"pong"}')

    async def open_with_patience(self, rng: random.Random) -> None:
        for attempt in range(20):
            self.tries += 1
            with contextlib.suppress(OSError):
                if await self.open():
                    await asyncio.wait_for(self.connected.wait(), 30)
                    if self.client is not None and not self.client.closed:
                        return
            await asyncio.sleep(rng.uniform(0.1, min(2.0, 0.2 * 2**attempt)))
        raise AssertionError("a session never came back")

    def drop(self) -> None:
        if self.client is not None and self.client.transport is not None:
            self.client.transport.abort()


_DAY: dict[bytes, float] = {}


def moment(text: bytes) -> float:
    """Unix seconds of our own RFC 3339 form, quickly."""
    minute = text[:16]
    if minute not in _DAY:
        _DAY[minute] = time.mktime(time.strptime(minute.decode(), "%Y-%m-%dT%H:%M")) - time.timezone
    return _DAY[minute] + float(text[17:-1])


class Crowd:
    """Many screens of different students."""

    def __init__(self, port: int, count: int, seed: int = 1) -> None:
        self.port = port
        self.rng = random.Random(seed)
        self.screens = [Screen(uuid4(), self) for _ in range(count)]
        self.seen = 0
        self.timed: list[float] | None = None

    async def open(self, at_once: int = 100) -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(screen: Screen) -> None:
            async with gate:
                await screen.open_with_patience(self.rng)

        await asyncio.gather(*(one(screen) for screen in self.screens))

    def drop(self) -> None:
        for screen in self.screens:
            screen.drop()


async def idle(redis_url: str, count: int) -> list[Row]:
    with serving("bare", redis_url) as bare:
        before = await bare.rss()
        clients = []
        for _ in range(count):
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: LeanClient(host="x", token=None, hello=None, on_text=lambda _text: None),
                "127.0.0.1",
                bare.port,
            )
            clients.append(client)
            assert await client.opened
        bare_each = (await bare.rss() - before) / count
    with serving("gateway", redis_url, connects_per_s=100_000) as server:
        warm = Crowd(server.port, 50)
        await warm.open()
        before = await server.rss()
        crowd = Crowd(server.port, count)
        await crowd.open()
        each = (await server.rss() - before) / count
    name = f"idle sessions per GiB ({count} open)"
    return [
        Row(GROUP, "bare echo: idle sockets per GiB", GIB / bare_each, "1/GiB"),
        Row(GROUP, name, GIB / each, "1/GiB", "bare echo: idle sockets per GiB", bare_each / each),
        Row(GROUP, "memory of one idle session", each / 1024, "KiB"),
    ]


async def bare_latency(redis_url: str, count: int, rate: int, seconds: float) -> list[float]:
    """Round trips through the echo at the same rate, halved: one way of socket, loop and framework."""
    with serving("bare", redis_url) as bare:
        found: list[float] = []
        clients = []
        for _ in range(count):
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: LeanClient(
                    host="x",
                    token=None,
                    hello=None,
                    on_text=lambda text: found.append(time.perf_counter() - float(text)),
                ),
                "127.0.0.1",
                bare.port,
            )
            assert await client.opened
            clients.append(client)
        rng = random.Random(1)
        begin, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - begin) < seconds:
            for _ in range(int(elapsed * rate) - sent):
                rng.choice(clients).send(b"%.9f" % time.perf_counter())
                sent += 1
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.3)
        return [value / 2 for value in found]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def latency(redis_url: str, count: int, rate: int, seconds: float) -> list[Row]:
    bare = await bare_latency(redis_url, count, rate, seconds)
    with serving("gateway", redis_url, connects_per_s=100_000) as server:
        crowd = Crowd(server.port, count)
        await crowd.open()
        order = {
            "students": [str(screen.student) for screen in crowd.screens],
            "rate": rate,
            "seconds": seconds,
            "seed": 1,
        }
        crowd.timed = []
        async with httpx2.AsyncClient(timeout=60) as http:
            sent = (await http.post(f"{server.url}/bench/feed", json=order)).json()["sent"]
        await until(lambda: crowd.seen >= sent, 10)
        assert crowd.seen == sent, (crowd.seen, sent)
        times = crowd.timed
    rows = []
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        value, base = percentile(times, share) * 1000, percentile(bare, share) * 1000
        limit = f"bare echo: one way {label}"
        rows.append(Row(GROUP, limit, base, "ms"))
        rows.append(
            Row(
                GROUP,
                f"commit to client {label}, {rate}/s to {count} sessions",
                value,
                "ms",
                limit,
                value / base,
            )
        )
    return rows


async def bare_storm(redis_url: str, count: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of the server for each, until ``count`` sockets of the echo are open again."""
    with serving("bare", redis_url) as bare:
        loop = asyncio.get_running_loop()

        async def one() -> LeanClient:
            _, client = await loop.create_connection(
                lambda: LeanClient(host="x", token=None, hello=None, on_text=lambda _text: None),
                "127.0.0.1",
                bare.port,
            )
            assert await client.opened
            return client

        for client in await asyncio.gather(*(one() for _ in range(count))):
            assert client.transport is not None
            client.transport.abort()
        await until(lambda: bare.sockets() < count, 10)
        begin, used = time.monotonic(), bare.cpu_s()
        clients = await asyncio.gather(*(one() for _ in range(count)))
        took = time.monotonic() - begin
        assert len(clients) == count
        return took, (bare.cpu_s() - used) / count


async def storm(redis_url: str, count: int) -> list[Row]:
    """All sessions are cut off, miss events, and come back at the same moment, with the limits of production."""
    bare_took, bare_cpu = await bare_storm(redis_url, count)
    with serving("gateway", redis_url) as server:
        crowd = Crowd(server.port, count)
        await crowd.open()
        order = {"students": [str(s.student) for s in crowd.screens], "rate": 1000, "seconds": 1, "seed": 2}
        async with httpx2.AsyncClient(timeout=60) as http:
            first = (await http.post(f"{server.url}/bench/feed", json=order)).json()["sent"]
            await until(lambda: crowd.seen >= first, 10)
            crowd.drop()
            away = (await http.post(f"{server.url}/bench/feed", json=order | {"seed": 3})).json()["sent"]
            begin, used = time.monotonic(), server.cpu_s()
            await asyncio.gather(*(screen.open_with_patience(crowd.rng) for screen in crowd.screens))
            took, cpu = time.monotonic() - begin, (server.cpu_s() - used) / count
            await until(lambda: crowd.seen >= first + away, 10)
        lost = first + away - crowd.seen
        holes = sum(screen.holes for screen in crowd.screens)
        tries = sum(screen.tries for screen in crowd.screens) - count
    seconds, cost = f"bare echo: {count} connects", "bare echo: CPU for each connect"
    return [
        Row(GROUP, seconds, bare_took, "s"),
        Row(GROUP, f"storm of {count} reconnects: all resumed after", took, "s", seconds, took / bare_took),
        Row(GROUP, cost, bare_cpu * 1000, "ms"),
        Row(GROUP, "storm: CPU for each session", cpu * 1000, "ms", cost, cpu / bare_cpu),
        Row(GROUP, "storm: tries for each session", tries / count, "1"),
        Row(GROUP, "storm: events lost", lost + holes, "1"),
    ]


async def stalled(redis_url: str) -> list[Row]:
    """The same events twice: for a reader that reads (what the log itself costs), and for one that stalls."""
    with serving("gateway", redis_url) as server:
        warm = Crowd(server.port, 50)
        await warm.open()
        reading = Crowd(server.port, 1)
        await reading.open()
        log_cost = await _growth(server, reading.screens[0].student)
        student = uuid4()
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: kc.v1, kc.bearer.{token(student)}\r\n\r\n".encode()
        )
        await asyncio.to_thread(sock.recv, 1024)
        sock.sendall(masked_text(b'{"type":"connect"}'))
        await asyncio.sleep(0.5)
        open_before = server.sockets()
        begin = time.monotonic()
        cost = await _growth(server, student)
        await until(lambda: server.sockets() < open_before, 60)
        took = time.monotonic() - begin
        sock.close()
    return [
        Row(GROUP, "a stalled reader: memory", max(0, cost - log_cost) / (1 << 20), "MiB"),
        Row(GROUP, "a stalled reader: its socket is gone after", took, "s"),
    ]


async def _growth(server: Server, student: UUID) -> int:
    before = await server.rss()
    order = {"students": [str(student)], "rate": 2000, "seconds": 4, "seed": 4}
    async with httpx2.AsyncClient(timeout=60) as http:
        await http.post(f"{server.url}/bench/feed", json=order)
    return await server.rss() - before


async def until(done: Any, timeout_s: float) -> None:
    """Wait for a condition, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not done():  # noqa: ASYNC110 - the condition is another process's
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _redis() -> AsyncIterator[str]:
    with EmbeddedRedis() as server:
        yield server.url


PARTS: dict[str, Callable[[str], Awaitable[list[Row]]]] = {
    "idle": lambda url: idle(url, 4000),
    "latency": lambda url: latency(url, 4000, 1000, 10.0),
    "storm": lambda url: storm(url, 5000),
    "stalled": stalled,
}


async def _measure(parts: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    async with _redis() as url:
        for part in parts:
            rows += await PARTS[part](url)
    return rows


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Measure the parts named, or all of the group; print a table; return the rows."""
    # The clients share the machine with what is measured: as little as they can.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(_measure(arguments or list(PARTS)))
    for row in rows:
        ratio = f"  {row.ratio:6.2f} x {row.baseline}" if row.ratio is not None else ""
        print(f"{row.name:60} {row.value:12.2f} {row.unit}{ratio}")
    return [row._asdict() for row in rows]


if __name__ == "__main__":
    main(sys.argv[1:])
