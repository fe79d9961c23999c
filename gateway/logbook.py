"""Reads of the event log for many readers at once: heads in batches, few replays at a time.

A storm of reconnects asks for every head at the same moment. Requests gather while one read is on its way, and the next
read answers them all; each is answered by a read that *began* after it was asked, since only such a read is newer than
the subscription before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import msgspec

from gateway.ports import LogPage, Reads, ViewHead


class Head(NamedTuple):
    """The state of one log."""

    epoch: str
    seq: int


class Snapshot(NamedTuple):
    """A learning view with its place in the log."""

    view: bytes
    as_of_seq: int
    epoch: str


_view_head = msgspec.json.Decoder(ViewHead)


class Logbook:
    """See the module's text."""

    def __init__(self, reads: Reads, *, heads_batch: int, replays_at_once: int, timeout_s: float) -> None:
        self._reads, self._heads_batch, self._timeout_s = reads, heads_batch, timeout_s
        self._replays = asyncio.Semaphore(replays_at_once)
        self._asked: dict[str, list[asyncio.Future[Head]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def head(self, student_id: str) -> Head:
        """The head of one log, read together with whatever else is asked for now."""
        future: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(student_id, []).append(future)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await future

    async def heads(self, student_ids: Iterable[str]) -> dict[str, Head]:
        """The heads of many logs, a batch at a time."""
        found: dict[str, Head] = {}
        rest = iter(student_ids)
        while batch := list(islice(rest, self._heads_batch)):
            found.update(await self._read_heads(batch))
        return found

    async def page(self, student_id: str, after: int, limit: int) -> LogPage:
        """Events after a position; waits for its turn."""
        async with self._replays, asyncio.timeout(self._timeout_s):
            return await self._reads.events_after(UUID(student_id), after, limit)

    async def snapshot(self, student_id: str) -> Snapshot:
        """The learning view, for a reader that has to start anew."""
        async with self._replays, asyncio.timeout(self._timeout_s):
            view = await self._reads.learning(UUID(student_id))
        head = _view_head.decode(view)
        return Snapshot(view, head.as_of_seq, head.epoch)

    async def _ask(self) -> None:
        try:
            # One turn of the loop lets everybody who is about to ask do so.
            await asyncio.sleep(0)
            while self._asked:
                batch = dict(islice(self._asked.items(), self._heads_batch))
                for student_id in batch:
                    del self._asked[student_id]
                await self._answer(batch)
        finally:
            self._asking = None

    async def _answer(self, batch: dict[str, list[asyncio.Future[Head]]]) -> None:
        try:
            heads = await self._read_heads(list(batch))
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            for futures in batch.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
            return
        for student_id, futures in batch.items():
            for future in futures:
                if not future.done():
                    future.set_result(heads[student_id])

    async def _read_heads(self, student_ids: list[str]) -> dict[str, Head]:
        async with asyncio.timeout(self._timeout_s):
            heads = await self._reads.heads([UUID(student_id) for student_id in student_ids])
            epoch = await self._reads.epoch()
        return {student_id: Head(epoch, heads.get(UUID(student_id), 0)) for student_id in student_ids}
