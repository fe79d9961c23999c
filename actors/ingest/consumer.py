"""The consumer of payment events: a member of the group, its windows, and what becomes of it when it fails.

After an error nobody knows which records the client has passed over: it is given up and made anew, and reads on from
what was committed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kafka.errors import InvalidRequestError

from actors.broker import Broker
from actors.failpoint import reach
from actors.gathering import Gathering
from actors.ingest.client import GroupClient
from actors.ingest.membership import Membership
from actors.ingest.offsets import Window, WindowLimits, Windows
from actors.ingest.patience import Patience
from actors.ingest.rebalance import Handover, commit, new_marks
from actors.ingest.records import Record
from actors.ingest.watch import ClientCalls

logger = logging.getLogger(__name__)

Run = tuple[Window, Sequence[Record]]
"""Records of one partition, in their order, and the window that they count in."""


class BrokerAway(Exception):
    """The client cannot go on: brokers away, an error of its own, or a call that was broken off."""


class PaymentConsumer:
    """A member of the consumer group. Its public methods are for one thread.

    Args:
        windows: claimed for this consumer's life.
        now: monotonic seconds.
        calls: where the watchdog sees how long a call into the client lasts.
        on_fenced: hears, on the client's IO thread, how many partitions were lost to others.
        gathering: how long a poll rests before it asks; one that is left out never does.

    Raises:
        BrokerAway: no broker answers.
    """

    def __init__(
        self,
        broker: Broker,
        member: Membership,
        windows: Windows,
        now: Callable[[], float],
        calls: ClientCalls,
        on_fenced: Callable[[int], None] = lambda _: None,
        gathering: Gathering | None = None,
    ) -> None:
        self.windows = windows
        self._now = now
        self._life = windows.claim()
        self._commit: Any = None
        self._commit_since_s = 0.0
        self._patience = Patience(member.fetch_wait_ms)
        self._gathering = gathering
        self._calls = calls
        with self._client_call():
            self._client = GroupClient(broker, member)
        calls.break_off = self._client.break_off
        handover = Handover(self._client, windows, self._life, member.drain_s, now, on_fenced)
        try:
            with self._client_call():
                self._client.subscribe([member.topic], listener=handover)
                self._client.learn_partitions()
        except BrokerAway:
            self.give_up()
            raise

    def poll(self, timeout_s: float) -> list[Run]:
        """What there is of each partition; joins and re-joins the group as needed.

        Raises:
            BrokerAway: give this consumer up.
        """
        before = {window.topic_partition: window for window in self.windows.all()}
        self._client.let_resumed_in()
        now_s = self._now()
        self._client.hold_back(self._patience.wait_ms(now_s))
        if self._gathering is not None:
            unread = sum(window.unread for window in before.values() if not window.paused)
            self._client.rest(self._gathering.rest_s(now_s, unread))
        with self._client_call():
            try:
                polled = self._client.poll(timeout_ms=int(timeout_s * 1000))
            except InvalidRequestError as error:
                # librdkafka's mock cluster answers so to a member that joins while it balances; nothing was read yet
                logger.info("joining again: %s", error)
                return []
        if not self.windows.is_current(self._life):
            raise BrokerAway("another consumer has taken this one's place")
        now_s = self._now()
        if self._gathering is not None:
            self._gathering.came(sum(map(len, polled.values())), now_s)
        if polled:
            self._patience.came(now_s)
        found: list[Run] = []
        for partition, records in polled.items():
            window = self.windows.get(partition)
            if window is None:
                # moved away while the records were on their way: whoever owns it reads them
                continue
            if before.get(partition, window) is not window:
                # lost and gained again within one call: these may be of either assignment
                raise BrokerAway(f"{partition} changed hands twice within one poll")
            window.end = self._client.highwater(partition) or window.end
            found.append((window, records))
        return found

    def partition_counts(self) -> tuple[int, int]:
        """Partitions of the topic and of the one ``beside`` it, as the brokers last said; 0 where there is none."""
        return self._client.partition_counts()

    def ask_for_a_share(self) -> bool:
        """Have the group share out again; not while it does so anyhow, and whether."""
        return self._client.ask_for_a_share()

    def balance(self, limits: WindowLimits) -> None:
        """Pause the partitions that are at a bound, resume those that are well below."""
        now_s = self._now()
        for window in self.windows.all():
            wrong = window.may_resume(limits, now_s) if window.paused else window.must_pause(limits, now_s)
            if wrong and self._client.switch(window.topic_partition, paused=not window.paused):
                window.paused = not window.paused

    def commit(self, deadline_s: float = 10.0) -> None:
        """Send the marks that are new, unless a commit is still on its way."""
        now_s = self._now()
        if self._commit is not None and not self._commit.is_done:
            if now_s - self._commit_since_s < deadline_s:
                return
            logger.warning("an offset commit got no answer for %.0f s; sending another", deadline_s)
        marks = new_marks(self.windows.all())
        if not marks:
            return
        reach("ingest.before_commit")
        self._commit_since_s = now_s
        with self._client_call():
            self._commit = commit(self._client, marks, self._now)

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that others need not wait for our silence. The listener drains and commits."""
        try:
            with self._client_call():
                self._client.close(autocommit=False, timeout_ms=int(timeout_s * 1000))
        except BrokerAway as error:
            logger.warning("the consumer did not leave in order: %s", error)
        finally:
            self.windows.close(self._life, [w.topic_partition for w in self.windows.all()])

    def give_up(self) -> None:
        """Let go of a client that cannot be trusted: nothing of it counts from now on, and it leaves beside us.

        It leaves in a thread of its own because its close may hang as its other calls did.
        """
        if self.windows.is_current(self._life):
            self.windows.claim()
        self._client.break_off("the client is given up")
        close = {"autocommit": False, "timeout_ms": 2_000}
        threading.Thread(
            target=lambda: _quietly(lambda: self._client.close(**close)), name="kafka-leaves", daemon=True
        ).start()

    @contextlib.contextmanager
    def _client_call(self) -> Iterator[None]:
        with self._calls:
            try:
                yield
            except Exception as error:
                # Not only KafkaError: a crashed IO loop hands out whatever ended it.
                raise BrokerAway(f"{type(error).__name__}: {error}") from error


def _quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception as error:  # noqa: BLE001  (it was given up because it fails)
        logger.info("a consumer that was given up did not leave in order: %s", error)
