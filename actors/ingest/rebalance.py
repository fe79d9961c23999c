"""What a member does when partitions come and go: drain what leaves, within bounds, and commit how far it got.

The client calls the listener on its IO thread, where nothing may block, so it waits on the client's own loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError

from actors.failpoint import reach
from actors.ingest.client import GroupClient
from actors.ingest.offsets import Window, Windows

logger = logging.getLogger(__name__)

DRAIN_LOOK_S = 0.02
COMMIT_S = 3.0
"""For the commit of partitions that leave: the group waits for us meanwhile."""


class Handover(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Opens and closes the windows of one consumer's ``life`` as the group moves partitions.

    Args:
        drain_s: how long moved partitions may take to finish what is in flight.
        now: monotonic seconds.
        on_fenced: hears how many partitions were lost without a chance to commit.
    """

    def __init__(
        self,
        client: GroupClient,
        windows: Windows,
        life: int,
        drain_s: float,
        now: Callable[[], float],
        on_fenced: Callable[[int], None],
    ) -> None:
        self._client = client
        self._windows = windows
        self._life = life
        self._drain_s = drain_s
        self._now = now
        self._on_fenced = on_fenced

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Partitions leave: let what is in flight finish, within bounds, and commit how far it got."""
        partitions = list(revoked)
        leaving = [w for w in map(self._windows.get, partitions) if w is not None]
        reach("ingest.revoked")
        for window in leaving:
            window.leave()
        deadline_s = self._now() + self._drain_s
        while any(w.running for w in leaving) and self._now() < deadline_s:
            await self._client.pause_loop(DRAIN_LOOK_S)
        reach("ingest.drained")
        left = sum(w.in_flight for w in leaving)
        try:
            marks = new_marks(leaving)
            if marks:
                # An error here would come out of poll(), a missing answer would hold up the whole group.
                await self._client.answer_to(commit(self._client, marks, self._now), COMMIT_S)
            reach("ingest.drain_committed")
        except KafkaError as error:
            logger.warning("offsets of moved partitions were not committed: %s", error)
        finally:
            self._windows.close(self._life, partitions)
        logger.info(
            "%d partitions moved away, %d records were left to their next owner", len(partitions), left
        )

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Partitions are lost: another owns them already, so nothing is committed."""
        reach("ingest.lost")
        partitions = list(lost)
        self._windows.close(self._life, partitions)
        self._client.forget_share()
        logger.warning("membership was lost; others own our partitions by now")
        self._on_fenced(len(partitions))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Partitions are ours."""
        reach("ingest.assigned")
        self._windows.open(self._life, assigned, self._now())


def new_marks(windows: Iterable[Window]) -> list[tuple[Window, int]]:
    """How far each window got, where that was not acknowledged yet."""
    return [(window, mark) for window in windows if (mark := window.committable()) is not None]


def commit(client: GroupClient, marks: list[tuple[Window, int]], now: Callable[[], float]) -> Any:
    """Send the marks; each window hears when the group has taken its own. What was sent, to wait for."""

    def answered(_offsets: object, answer: object) -> None:
        if isinstance(answer, RebalanceInProgressError | CommitFailedError):
            logger.info("offsets were not taken while the group rebalances: %s", answer)
        elif isinstance(answer, Exception):
            logger.warning("offset commit refused: %s: %s", type(answer).__name__, answer)
        else:
            reach("ingest.committed")
            for window, mark in marks:
                window.acknowledged(mark, now())

    return client.send_marks({window.topic_partition: mark for window, mark in marks}, answered)
