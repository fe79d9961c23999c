"""Self-checking stress: two gateways, one Redis, one log; clients come and go while everything else breaks.

Hard invariant: every client sees 1..N exactly once and in order. The counters say by what repair.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import pytest
import redis

from actors.doorbell import DoorbellAway, DoorbellPublisher
from gateway.client.core import Cursor
from gateway.client.realtime import RealtimeClient
from gateway.limits import GatewayLimits
from tests.gateway.support import Gateway, MemoryLog, StoredFrame, token
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

LIMITS = GatewayLimits(
    ping_s=1.0,
    pong_s=5.0,
    poll_s=0.2,
    down_grace_s=0.2,
    read_retry_s=0.05,
    drain_s=0.2,
    connects_per_s=10_000,
)
CLIENTS = 60
MANY = 200
"""Of the seeds that only the long run has."""
Troubles = Mapping[int, Callable[[], object]]
CAUSES = ("gap", "tail", "lagging", "poll", "redis_reconnect", "epoch")


class Impatient(random.Random):
    """Backoff without the wait: a tenth of the client's pauses."""

    def random(self) -> float:
        return super().random() * 0.1


class Viewer:
    """A student's screen that comes and goes, and keeps its cursor."""

    def __init__(self, student: UUID, gateways: list[Gateway], seed: int) -> None:
        self.student, self.gateways, self.rng = student, gateways, random.Random(seed)
        self.seen: list[int] = []
        self.cursor: Cursor | None = Cursor("e1", 0)
        self.visits = 0

    async def token(self, _force: bool) -> str:
        return token(self.student)

    async def take(self, event) -> None:
        self.seen.append(event["seq"])

    def keep(self, cursor: Cursor | None) -> None:
        self.cursor = cursor

    async def watch(self, over: asyncio.Event, *, restless: bool) -> None:
        while not over.is_set():
            self.visits += 1
            address = self.rng.choice(self.gateways).ws_url
            async with RealtimeClient(
                address,
                self.token,
                on_event=self.take,
                cursor=self.cursor,
                on_cursor=self.keep,
                rng=Impatient(1),
            ):
                stay_s = self.rng.uniform(0.05, 1.5) if restless else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(stay_s):
                        await over.wait()


class Doorbell:
    """Rings as it likes: loses, repeats, and mixes up the order."""

    def __init__(self, gateways: list[Gateway], rng: random.Random) -> None:
        self._gateway, self._rng = gateways[0], rng
        self._late: list[tuple[UUID, StoredFrame]] = []

    def ring(self, student: UUID, frame: StoredFrame) -> None:
        how = self._rng.random()
        if how < 0.2:
            return
        self._late.append((student, frame))
        if how > 0.8:
            self._late.append((student, frame))
        if self._rng.random() < 0.5:
            self._rng.shuffle(self._late)
            rings, self._late = self._late, []
            for whose, what in rings:
                with contextlib.suppress(DoorbellAway):
                    self._gateway.ring(whose, what)


async def run(gateways, viewers, log, *, rounds: int, seed: int, troubles: Troubles | None = None) -> None:
    """Commit while viewers come and go and troubles happen; then let everything come to rest, and check.

    ``troubles`` maps the number of a round to what happens before it.
    """
    rng = random.Random(seed)
    students = [viewer.student for viewer in viewers]
    over = asyncio.Event()
    watching = [
        asyncio.create_task(viewer.watch(over, restless=n % 4 != 0)) for n, viewer in enumerate(viewers)
    ]
    doorbell = Doorbell(gateways, rng)
    for number in range(rounds):
        if troubles and number in troubles:
            await asyncio.to_thread(troubles[number])
        for student in rng.sample(students, k=max(1, len(students) // 10)):
            frame = log.append(student)
            await asyncio.to_thread(doorbell.ring, student, frame)
    try:
        await wait_until_async(
            lambda: all(len(viewer.seen) >= log.head(viewer.student) for viewer in viewers),
            timeout_s=25,
            what="everybody has seen everything",
        )
    finally:
        over.set()
        await asyncio.gather(*watching, return_exceptions=True)
        for task in watching:
            assert task.exception() is None
    for viewer in viewers:
        assert viewer.seen == list(range(1, log.head(viewer.student) + 1))


def heals(gateways: list[Gateway]) -> dict[str, float]:
    return {cause: sum(g.count("kcactors_heal_total", cause=cause) for g in gateways) for cause in CAUSES}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
async def test_rings_are_lost_doubled_and_mixed_up_while_clients_come_and_go(redis_url, seed):
    log = MemoryLog()
    with Gateway(redis_url, log=log, limits=LIMITS) as a, Gateway(redis_url, log=log, limits=LIMITS) as b:
        viewers = [Viewer(uuid4(), [a, b], seed * 1000 + n) for n in range(CLIENTS if seed == 1 else MANY)]
        await run([a, b], viewers, log, rounds=60, seed=seed)
        assert heals([a, b])["gap"] > 0
        assert heals([a, b])["tail"] > 0
        assert sum(viewer.visits for viewer in viewers) > len(viewers)


async def test_redis_is_flushed_killed_and_its_subscribers_thrown_out(own_redis):
    log = MemoryLog()
    with contextlib.ExitStack() as stack:
        a, b = (stack.enter_context(Gateway(own_redis.url, log=log, limits=LIMITS)) for _ in range(2))
        viewers = [Viewer(uuid4(), [a, b], n) for n in range(CLIENTS)]

        def throw_out() -> None:
            with redis.Redis.from_url(own_redis.url) as client:
                client.flushall()
                client.client_kill_filter(_type="pubsub")

        troubles = {15: throw_out, 30: own_redis.stop, 60: own_redis.start, 75: throw_out}
        await run([a, b], viewers, log, rounds=90, seed=3, troubles=troubles)
        found = heals([a, b])
        assert found["redis_reconnect"] + found["poll"] > 0


async def test_redis_stalls(redis_proxy, redis_url):
    log, url = MemoryLog(), redis_proxy.url(redis_url)
    with contextlib.ExitStack() as stack:
        a, b = (stack.enter_context(Gateway(url, log=log, limits=LIMITS)) for _ in range(2))
        viewers = [Viewer(uuid4(), [a, b], n) for n in range(CLIENTS)]
        # The publisher is not stalled: what it says is not heard.
        a.publisher = DoorbellPublisher(redis_url)
        await run(
            [a, b], viewers, log, rounds=80, seed=5, troubles={20: redis_proxy.stall, 60: redis_proxy.resume}
        )


async def test_a_gateway_dies_under_its_clients(redis_url):
    log = MemoryLog()
    with contextlib.ExitStack() as stack:
        a, b = (stack.enter_context(Gateway(redis_url, log=log, limits=LIMITS)) for _ in range(2))
        viewers = [Viewer(uuid4(), [a, b], n) for n in range(CLIENTS)]
        troubles = {
            20: a.kill,
            50: lambda: stack.enter_context(Gateway(redis_url, log=log, limits=LIMITS, port=a.port)),
        }
        await run([b, a], viewers, log, rounds=90, seed=4, troubles=troubles)
