"""Fewer trips to the client's IO thread: one for a poll that waits, where kafka-python 3.0.12 makes three.

A trip is two changes of threads, each of which may wait for the interpreter, so that a busy node polled more slowly
than records came. The client asks the IO thread whether it knows the group's coordinator, then to send a fetch, then
to wait for the answer; it could look at the first itself and send and wait at once. In pairs, 1,600 records a second:
90 instead of 84 of 100 payments stood within 25 ms of their record, and 72 instead of 62 beside Apache Kafka.

Sending the next fetch as soon as one has come was tried and dropped: its answer comes sooner and holds less.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kafka.errors import KafkaTimeoutError
from kafka.future import Future


class Trips:
    """Stands in for two methods of a client's parts; for the thread that polls.

    Args:
        client: a ``KafkaConsumer`` that has not polled yet.

    Attributes:
        rest_s: how long the next poll that finds nothing kept rests before it asks the brokers.
    """

    def __init__(self, client: Any) -> None:
        self._fetcher, self._coordinator = client._fetcher, client._coordinator  # noqa: SLF001  (no public way to its parts)
        self._net, self._manager, self._connections = client._net, client._manager, client._client  # noqa: SLF001
        self._ask_for_coordinator = self._coordinator.ensure_coordinator_ready
        self.rest_s = 0.0
        self._coordinator.ensure_coordinator_ready = self._ensure_coordinator_ready
        self._fetcher.fetch_records = self._fetch_records

    def _ensure_coordinator_ready(self, timeout_ms: float | None = None) -> bool:
        known = self._coordinator.coordinator_id
        if known is not None and not self._connections.is_disconnected(known):
            return True
        return bool(self._ask_for_coordinator(timeout_ms=timeout_ms))

    def _fetch_records(
        self,
        max_records: int | None = None,
        update_offsets: bool = True,  # noqa: FBT001, FBT002  (the client's own signature)
        timeout_ms: float | None = None,
    ) -> tuple[dict[Any, list[Any]], bool]:
        """Records by partition, and whether there was nothing that one could wait for."""
        fetcher = self._fetcher
        records, partial = fetcher.fetched_records(max_records, update_offsets=update_offsets)
        if records:
            if not partial:
                fetcher.send_fetches()
            return records, False
        waited = self._net.run(self._send_and_wait, timeout_ms)
        records, _partial = fetcher.fetched_records(max_records, update_offsets=update_offsets)
        return records, not (waited or records)

    async def _send_and_wait(self, timeout_ms: float | None) -> bool:
        """On the IO thread: until an answer is there or the time is up; whether there was any to wait for."""
        fetcher = self._fetcher
        if self.rest_s:
            # here, since the thread that polls is on its way to wait anyhow
            await self._net.sleep(self.rest_s)
        await fetcher._send_fetches_async()  # noqa: SLF001  (what `send_fetches` makes a trip for)
        if fetcher._completed_fetches:  # noqa: SLF001
            # The answer to an earlier fetch came while we rested: there may be no partition left to fetch, and whoever
            # says that there is nothing to wait for is put to sleep for a tenth of a second beside its records.
            return True
        expected = list(fetcher._fetch_futures)  # noqa: SLF001
        reset = fetcher._reset_task  # noqa: SLF001
        if reset is not None and not reset.is_done:
            expected.append(reset)
        if not expected:
            return False
        came = Future()

        def note(_: object) -> None:
            if not came.is_done:
                came.success(None)

        for answer in expected:
            answer.add_both(note)
        with contextlib.suppress(KafkaTimeoutError):
            await self._manager.wait_for(came, timeout_ms)
        return True
