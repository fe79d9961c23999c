"""The consumer on both brokers: join, hand over, lose, hang."""

import contextlib
import threading
import time
import uuid
from collections import Counter

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from actors.broker import Broker
from actors.ingest.consumer import BrokerAway, PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import WindowLimits, Windows
from actors.ingest.watch import ClientCalls
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

PARTITIONS = 6
SLOW_ON_EMBEDDED = pytest.mark.parametrize(
    "any_kafka",
    [
        pytest.param("apache", marks=pytest.mark.real_kafka),
        # Each move of a partition takes it a whole session timeout.
        pytest.param("embedded", marks=pytest.mark.chaos),
    ],
    indirect=True,
)
LIMITS = WindowLimits(in_flight_max=50, span_max=100)


class Member:
    """One consumer with a loop of its own, whose work is done at once or when told.

    ``read`` has every record that was registered, in order; ``hold`` leaves them in flight.
    """

    def __init__(self, kafka, topic, group, *, hold=False, drain_s=3.0):
        self.windows = Windows()
        self.calls = ClientCalls(time.monotonic)
        self.hold = hold
        self.held = []
        self.read = []
        self.read_at = []
        self.error = None
        member = Membership(
            topic=topic,
            group_id=group,
            client_id=f"m-{uuid.uuid4().hex[:6]}",
            drain_s=drain_s,
            # The embedded broker lets the others wait for this long whenever a member comes or goes.
            session_timeout_ms=2_500 if kafka.kind == "embedded" else 6_000,
        )
        self.fenced: list[int] = []
        self.consumer = PaymentConsumer(
            kafka.broker, member, self.windows, time.monotonic, self.calls, self.fenced.append
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member", daemon=True)
        self._thread.start()

    @property
    def partitions(self):
        return {w.topic_partition.partition for w in self.windows.all()}

    def release(self):
        self.hold = False
        while self.held:
            window, offset = self.held.pop()
            window.complete(offset)

    def leave(self):
        """As a node does on SIGTERM."""
        self.end()
        self.consumer.close(5.0)

    def end(self):
        self._ending.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self):
        try:
            while not self._ending.is_set():
                self.consumer.commit()
                self.consumer.balance(LIMITS)
                for window, run in self.consumer.poll(0.1):
                    if not window.register([record.offset for record in run], time.monotonic()):
                        continue
                    for record in run:
                        self.read.append((record.partition.partition, record.offset))
                        self.read_at.append(time.monotonic())
                        if self.hold:
                            self.held.append((window, record.offset))
                        else:
                            window.complete(record.offset)
        except BrokerAway as error:
            self.error = error


@pytest.fixture
def topic(any_kafka):
    name = f"payments-{uuid.uuid4().hex}"
    any_kafka.create_topic(name, PARTITIONS)
    return name


@pytest.fixture
def group():
    return f"g-{uuid.uuid4().hex}"


@pytest.fixture
def join(any_kafka, topic, group):
    """Makes members of the group; all are gone at the end."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            member = Member(any_kafka, topic, group, **options)
            stack.callback(member.consumer.give_up)
            stack.callback(member.end)
            return member

        yield make


@pytest.fixture
def send(any_kafka, topic):
    """Sends so many records to each partition."""
    with contextlib.closing(KafkaProducer(**any_kafka.broker.client_config(), linger_ms=5)) as producer:

        def fill(count):
            reports = [
                producer.send(topic, key=b"k", value=b"v", partition=number)
                for _ in range(count)
                for number in range(PARTITIONS)
            ]
            for report in reports:
                report.get(timeout=20)

        yield fill


def committed(any_kafka, topic, group):
    client = KafkaConsumer(**any_kafka.broker.client_config(), group_id=group, enable_auto_commit=False)
    with contextlib.closing(client):
        return [client.committed(TopicPartition(topic, n)) or 0 for n in range(PARTITIONS)]


def test_one_member_reads_everything_and_commits_what_is_done(any_kafka, topic, group, join, send):
    send(20)
    member = join()
    wait_until(lambda: len(member.read) == 20 * PARTITIONS, 40)
    wait_until(lambda: committed(any_kafka, topic, group) == [20] * PARTITIONS, 30)
    wait_until(lambda: all(w.committed == 20 and w.lag == 0 for w in member.windows.all()), 20)
    assert member.consumer.partition_counts() == (PARTITIONS, 0)


def test_what_is_in_flight_is_not_committed_and_read_again(any_kafka, topic, group, join, send):
    first = join(hold=True, drain_s=0.3)
    send(10)
    wait_until(lambda: len(first.read) == 10 * PARTITIONS, 40)
    for window, offset in first.held:
        if offset != 4:
            window.complete(offset)
    wait_until(lambda: committed(any_kafka, topic, group) == [4] * PARTITIONS, 30)
    first.leave()
    second = join()
    wait_until(lambda: len(second.read) == 6 * PARTITIONS, 60)
    assert min(offset for _, offset in second.read) == 4


def test_a_full_window_pauses_and_goes_on(join, send):
    send(200)
    member = join(hold=True)
    wait_until(lambda: member.windows.all() and all(w.paused for w in member.windows.all()), 40)
    member.release()
    wait_until(lambda: len(member.read) == 200 * PARTITIONS, 40)
    assert max(Counter(member.read).values()) == 1


@SLOW_ON_EMBEDDED
def test_only_moved_partitions_drain_and_nothing_done_is_read_twice(any_kafka, join, send):
    first = join(drain_s=20.0)
    send(10)
    wait_until(lambda: len(first.read) == 10 * PARTITIONS, 40)
    first.hold = True
    send(10)
    wait_until(lambda: len(first.held) == 10 * PARTITIONS, 30)
    second = join()
    # The moved ones may leave only when their records are done.
    wait_until(lambda: any(w.leaving for w in first.windows.all()), 60)
    assert not second.read
    assert {w.leaving for w in first.windows.all()} == {True, False}
    first.release()
    wait_until(lambda: len(second.partitions) == PARTITIONS // 2, 60)
    assert first.partitions.isdisjoint(second.partitions)
    send(10)
    wait_until(lambda: len(set(first.read) | set(second.read)) == 30 * PARTITIONS, 40)
    # The embedded broker takes no offsets while it balances, so there the next owner reads again.
    assert any_kafka.kind == "embedded" or not set(first.read) & set(second.read)


@SLOW_ON_EMBEDDED
def test_a_drain_is_bounded_and_its_records_are_read_by_the_next_owner(join, send):
    first = join(drain_s=0.5)
    wait_until(lambda: len(first.partitions) == PARTITIONS, 40)
    first.hold = True
    send(5)
    wait_until(lambda: len(first.held) == 5 * PARTITIONS, 30)
    second = join()
    wait_until(lambda: len(second.partitions) == PARTITIONS // 2, 60)
    wait_until(lambda: len(second.read) == 5 * PARTITIONS // 2, 30)
    before = {w.topic_partition: w.committable() for w in second.windows.all()}
    first.release()
    assert {w.topic_partition: w.committable() for w in second.windows.all()} == before


def test_members_leave_and_their_partitions_go_on(any_kafka, join, send):
    members = [join() for _ in range(3)]
    wait_until(lambda: sorted(len(m.partitions) for m in members) == [2, 2, 2], 60)
    send(10)
    wait_until(lambda: sum(len(m.read) for m in members) == 10 * PARTITIONS, 40)
    members[0].leave()
    send(10)
    wait_until(lambda: len({r for m in members for r in m.read}) == 20 * PARTITIONS, 60)
    # An orderly leave makes nobody read twice; see above for the embedded broker.
    assert any_kafka.kind == "embedded" or sum(len(m.read) for m in members) == 20 * PARTITIONS


@SLOW_ON_EMBEDDED
def test_a_lost_member_commits_nothing_and_forgets_what_it_owned(join, send):
    first = join()
    wait_until(lambda: len(first.partitions) == PARTITIONS, 40)
    first.hold = True
    send(5)
    wait_until(lambda: len(first.held) == 5 * PARTITIONS, 30)
    # What a member finds that was away for longer than the session timeout.
    client = first.consumer._client
    client._net.run(_forget_membership, client._coordinator)
    wait_until(lambda: len(first.read) == 10 * PARTITIONS, 60, what="everything is read again")
    assert first.error is None
    assert first.fenced == [PARTITIONS]
    for window, offset in first.held[: 5 * PARTITIONS]:
        window.complete(offset)
    assert all(w.committable() is None or w.committable() == 0 for w in first.windows.all())


async def _forget_membership(coordinator):
    coordinator.reset_generation()
    coordinator.request_rejoin()


def test_a_hung_call_is_broken_off(join):
    member = join()
    wait_until(lambda: len(member.partitions) == PARTITIONS, 40)
    held_up = threading.Event()
    member.consumer._client._net.call_soon_threadsafe(held_up.wait)
    try:
        wait_until(lambda: member.calls.silent_s() > 1.0, 20)
        member.calls.break_off("the test says so")
        wait_until(lambda: member.error is not None, 10)
        assert "the test says so" in str(member.error)
    finally:
        held_up.set()


def test_a_consumer_that_was_given_up_leaves_the_group_to_its_successor(any_kafka, topic, group, join, send):
    first = join()
    wait_until(lambda: len(first.partitions) == PARTITIONS, 40)
    first.consumer.give_up()
    wait_until(lambda: first.error is not None, 20)
    assert first.partitions == set()
    second = join()
    send(3)
    wait_until(lambda: len(second.read) == 3 * PARTITIONS, 60)


def test_no_broker_is_an_error_and_leaves_no_thread_behind():
    nowhere = Broker(bootstrap="127.0.0.1:1")
    before = {thread for thread in threading.enumerate() if thread.name.startswith("kafka-io")}
    member = Membership(topic="t", group_id="g", client_id="c")
    with pytest.raises(BrokerAway):
        PaymentConsumer(nowhere, member, Windows(), time.monotonic, ClientCalls(time.monotonic))
    wait_until(
        lambda: {t for t in threading.enumerate() if t.name.startswith("kafka-io")} <= before,
        10,
    )
