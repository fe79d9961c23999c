"""The exchange of one process: which student has which readers here, and everything that concerns many of them at once.

Runs in the asyncio loop. The doorbell's rings go to their student's feeds; while the doorbell is away the log is polled
for everybody; when it is back, every feed is checked, since nobody knows what was missed. One wheel serves the
deadlines of all sessions, and one read of heads the pings of all that were quiet.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from actors.doorbell import REVOKE_CHANNEL, DoorbellSubscriber
from actors.protocol.envelope import CHANNEL_PREFIX, channel
from gateway.closing import Close
from gateway.follower import Follower
from gateway.limits import GatewayLimits
from gateway.logbook import Head, Logbook
from gateway.ports import READ_TROUBLE, Ring
from gateway.session import Session
from gateway.wheel import Wheel

logger = logging.getLogger(__name__)

GRAIN_S: Final = 0.25
"""Precision of deadlines."""
CHUNK: Final = 500
"""Sessions told something before the loop gets a turn."""


class RingHead(msgspec.Struct, frozen=True):
    """The members of an envelope that the door reads."""

    seq: int
    epoch: str
    ts: datetime


class Member(Protocol):
    """An open WebSocket, as the hub sees it."""

    @property
    def session(self) -> Session: ...
    @property
    def follower(self) -> Follower | None: ...
    def settle(self) -> None: ...


class Hub:
    """See the module's text. ``start`` and ``stop`` belong to the application's lifespan."""

    def __init__(
        self,
        *,
        redis_url: str,
        logbook: Logbook,
        limits: GatewayLimits,
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._limits, self._logbook, self._monotonic, self._rng = limits, logbook, monotonic, rng
        self._followers: dict[str, list[Follower]] = {}
        self._members: set[Member] = set()
        self._wheel: Wheel[Member] = Wheel(GRAIN_S, monotonic())
        self._head_of_ring = msgspec.json.Decoder(RingHead)
        self._doorbell = DoorbellSubscriber(
            redis_url, on_ring=self.ring, on_up=self._on_up, on_down=self._on_down, rng=rng
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self._mending: asyncio.Task[None] | None = None
        self.live = True
        """Whether rings are heard. False only after the grace time, so that a hiccup of Redis tells nobody."""
        self.rings_refused = 0
        """Messages on a student's channel that were no envelope."""

    # Lifespan

    async def start(self) -> None:
        """Listen, and look after deadlines."""
        self._spawn(self._doorbell.run())
        self._spawn(self._doorbell.subscribe(REVOKE_CHANNEL))
        self._spawn(self._turn_wheel())
        self._on_down()

    async def stop(self) -> None:
        """End every task of the hub."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Readers

    async def join(self, follower: Follower) -> None:
        """Hear of a student. Returns when nothing can be missed any more, or when Redis is known to be away."""
        self._followers.setdefault(follower.student_id, []).append(follower)
        await self._doorbell.subscribe(channel(follower.student_id))

    def leave(self, follower: Follower) -> None:
        """Hear of a student once less."""
        followers = self._followers.get(follower.student_id, [])
        if follower in followers:
            followers.remove(follower)
            self._doorbell.unsubscribe(channel(follower.student_id))
        if not followers:
            self._followers.pop(follower.student_id, None)

    def readers_of(self, student_id: str) -> int:
        """How many readers a student has in this process."""
        return len(self._followers.get(student_id, ()))

    def admit(self, member: Member) -> None:
        """Look after a session's deadlines."""
        self._members.add(member)
        member.session.on_upstream(live=self.live)
        self.appoint(member)

    def dismiss(self, member: Member) -> None:
        """A session has ended."""
        self._members.discard(member)
        self._wheel.remove(member)

    def appoint(self, member: Member) -> None:
        """The session's next deadline may have moved closer."""
        due_at = member.session.due_at
        if due_at is not None and member in self._members:
            self._wheel.put(member, due_at)

    @property
    def sessions(self) -> int:
        """Open WebSocket sessions."""
        return len(self._members)

    @property
    def students(self) -> int:
        """Students with a reader in this process."""
        return len(self._followers)

    # Rings

    def ring(self, name: str, text: str) -> None:
        """A message from Redis."""
        if name == REVOKE_CHANNEL:
            self.revoke(text.strip().lower())
            return
        followers = self._followers.get(name.removeprefix(CHANNEL_PREFIX))
        if not followers:
            return
        try:
            head = self._head_of_ring.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self.rings_refused += 1
            return
        ring = Ring(head.epoch, head.seq, text, head.ts.timestamp())
        for follower in list(followers):
            if follower.feed.on_ring(ring):
                follower.pump()

    def revoke(self, student_id: str) -> None:
        """Send every reader of a student away for good."""
        for follower in list(self._followers.get(student_id, ())):
            follower.on_end(Close.REVOKED)

    async def drain(self, window_s: float) -> None:
        """Say goodbye to every reader, spread evenly over ``window_s``, so that other nodes are not stormed."""
        members = list(self._members)
        self._rng.shuffle(members)
        pause_s = window_s / max(len(members), 1)
        behind_s = 0.0
        for member in members:
            member.session.on_going_away(retry_after_ms=int(self._rng.uniform(100, 1000)))
            member.settle()
            behind_s += pause_s
            if behind_s >= 0.01:
                await asyncio.sleep(behind_s)
                behind_s = 0.0
        for followers in list(self._followers.values()):
            for follower in list(followers):
                follower.on_end(Close.GOING_AWAY)

    # The doorbell comes and goes

    def _on_down(self) -> None:
        self._mend(self._bridge_silence())

    def _on_up(self) -> None:
        self._mend(self._catch_up())

    def _mend(self, work: Any) -> None:
        if self._mending is not None:
            self._mending.cancel()
        self._mending = self._spawn(work)

    async def _bridge_silence(self) -> None:
        """Redis is away: say so, and ask the log instead."""
        await asyncio.sleep(self._limits.down_grace_s)
        self.live = False
        await self._tell_all(live=False)
        while True:
            await self.check(list(self._followers), "poll")
            await asyncio.sleep(self._limits.poll_s * self._rng.uniform(0.8, 1.2))

    async def _catch_up(self) -> None:
        """Redis is back, every channel confirmed: whatever was missed is in the log."""
        while not await self.check(list(self._followers), "redis_reconnect"):  # noqa: ASYNC110 - the event is far away
            await asyncio.sleep(self._limits.poll_s)
        self.live = True
        await self._tell_all(live=True)

    async def _tell_all(self, *, live: bool) -> None:
        for count, member in enumerate(list(self._members), 1):
            member.session.on_upstream(live=live)
            member.settle()
            if count % CHUNK == 0:
                await asyncio.sleep(0)

    async def check(self, student_ids: list[str], cause: str) -> bool:
        """Compare feeds with the log's heads, and let those that are behind read. False: the log could not be read."""
        batch = self._limits.heads_batch
        for start in range(0, len(student_ids), batch):
            try:
                heads = await self._logbook.heads(student_ids[start : start + batch])
            except READ_TROUBLE as error:
                logger.debug("heads not read: %s", error)
                return False
            self._compare(heads, cause)
        return True

    def _compare(self, heads: dict[str, Head], cause: str) -> None:
        for student_id, head in heads.items():
            for follower in list(self._followers.get(student_id, ())):
                if follower.feed.on_tail(head.epoch, head.seq, cause):
                    follower.pump()

    # Deadlines

    async def _turn_wheel(self) -> None:
        while True:
            await asyncio.sleep(GRAIN_S)
            now = self._monotonic()
            quiet: list[Member] = []
            for member in self._wheel.due(now):
                if self.live and member.session.quiet and member.session.ping_due(now):
                    quiet.append(member)
                else:
                    self._attend(member, now)
            if quiet:
                self._spawn(self._ping_quiet(quiet))

    async def _ping_quiet(self, quiet: list[Member]) -> None:
        """Look the heads up first, so that each ping proves that nothing was missed."""
        students = {member.session.student_id for member in quiet}
        await self.check([student for student in students if student is not None], "tail")
        now = self._monotonic()
        self._attend_all(quiet, now)

    def _attend_all(self, members: Iterable[Member], now: float) -> None:
        for member in members:
            self._attend(member, now)

    def _attend(self, member: Member, now: float) -> None:
        if member in self._members:
            member.session.on_time(now)
            member.settle()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the hub ended", exc_info=error)
