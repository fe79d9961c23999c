"""The ingest actor on a broker: settle, refuse, park, hang."""

import contextlib
import threading
import time
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from actors.broker import Broker
from actors.ingest.actor import Ingest, IngestLimits
from actors.ingest.breaker import BreakerLimits
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import Windows
from actors.ingest.share import ShareLimits
from actors.ingest.watch import ClientCalls, IngestWatch
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import lane_key
from kcactors.load import plan
from supervision import Backoff, ChildSpec, PoisonPolicy, System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

PARTITIONS = 3


class Desk:
    """Takes what ingest hands on, and answers as told: by default everything is done at once."""

    def __init__(self):
        self.taken = []
        self.parked = []
        self.answer = lambda _event: Outcome.CREATED

    def submit_run(self, lane, run):
        for deliver in run:
            assert (deliver.via, lane_key(deliver.event)) == ("kafka", lane)
            self.taken.append(deliver.event.payment_id)
            deliver.source.settle(Settled(self.answer(deliver.event)))

    def park(self, raw, reason, source, *, provider, origin):
        self.parked.append(origin["offset"])
        source.settle(Settled(Outcome.PARKED))


class Directory:
    """Whose students are asked to leave."""

    active = 0

    def __init__(self):
        self.asked = []

    def is_active(self, key):
        return True

    def put_away(self, key):
        self.asked.append(key)
        return False


class Counts:
    """What ingest measures."""

    def __init__(self):
        self.wrong_keys = 0
        self.opened = 0

    def received(self, records):
        pass

    def undecodable(self):
        pass

    def wrong_key(self):
        self.wrong_keys += 1

    def breaker_opened(self):
        self.opened += 1


class Bench:
    """Ingest with its watchdog, in a system of its own."""

    def __init__(self, broker, topic, *, stuck_s=30.0, breaker=None, patience_s=60.0):
        self.desk, self.students, self.counts = Desk(), Directory(), Counts()
        self.states: dict[str, bool] = {}
        self.windows = Windows(breaker)
        self.calls = ClientCalls(time.monotonic)
        self.consumers: list[PaymentConsumer] = []
        self.system = System("ingest-test")
        member = Membership(
            topic=topic,
            group_id=f"g-{uuid.uuid4().hex}",
            client_id="i",
            drain_s=1.0,
            session_timeout_ms=2_500,
            beside=topic,
        )

        def connect():
            self.consumers.append(PaymentConsumer(broker, member, self.windows, time.monotonic, self.calls))
            return self.consumers[-1]

        limits = IngestLimits(
            retry_s=0.1,
            commit_interval_s=0.2,
            drain_s=1.0,
            partitions=PARTITIONS,
            share=ShareLimits(patience_s=patience_s),
        )
        spec = ChildSpec(
            "ingest",
            lambda: Ingest(
                connect,
                self.desk,  # type: ignore[arg-type]
                self.students,
                limits,
                self.counts,
                self.states.__setitem__,
            ),
            drain=False,
            stop_timeout_s=2.0,
            poison=PoisonPolicy(backoff=Backoff(initial_s=0.1, max_s=0.5)),
        )
        ref = self.system.start_child(None, spec)

        def restart():
            self.windows.claim()
            self.system.restart(ref)

        self.system.start_child(None, ChildSpec("watch", lambda: IngestWatch(self.calls, restart, stuck_s)))


@pytest.fixture
def broker(kafka_broker):
    return Broker(bootstrap=kafka_broker.bootstrap, api_version=kafka_broker.api_version)


@pytest.fixture
def open_bench(broker, payment_topic):
    with contextlib.ExitStack() as stack:

        def make(**options):
            bench = Bench(broker, payment_topic, **options)
            stack.callback(bench.system.stop, 20.0)
            return bench

        yield make


@pytest.fixture
def send(broker, payment_topic):
    with contextlib.closing(KafkaProducer(**broker.client_config())) as producer:

        def one(value, key=None):
            producer.send(payment_topic, key=key, value=value, partition=0).get(timeout=20)

        yield one


def payment(name):
    return plan.payment(name, uuid.uuid4(), uuid.uuid4(), 4, datetime.now(UTC))


def put(send, name):
    event = payment(name)
    send(msgspec.json.encode(event), str(event.student_id).encode())


def committed(bench):
    return sum(max(0, window.committed) for window in bench.windows.all())


def test_a_refused_record_comes_again_and_holds_the_mark_until_it_stands(open_bench, send):
    bench = open_bench()
    bench.desk.answer = lambda event: Outcome.REFUSED if event.payment_id == "late" else Outcome.CREATED
    for name in ("early", "late", "after"):
        put(send, name)
    wait_until(lambda: bench.desk.taken.count("late") > 2, 40)
    wait_until(lambda: committed(bench) == 1, 20)
    assert bench.desk.taken.count("early") == bench.desk.taken.count("after") == 1
    bench.desk.answer = lambda _event: Outcome.CREATED
    wait_until(lambda: committed(bench) == 3, 20)


def test_what_cannot_be_read_is_parked_with_its_place_and_passed(open_bench, send):
    bench = open_bench()
    for value in (b"{", b"\xff", b"[]", b'{"type":"PAYMENT_SUCCEEDED"}'):
        send(value)
    put(send, "good")
    wait_until(lambda: committed(bench) == 5, 40)
    assert bench.desk.parked == [0, 1, 2, 3]
    assert bench.desk.taken == ["good"]


def test_a_key_that_is_not_the_students_is_reported(open_bench, send):
    bench = open_bench()
    put(send, "good")
    wait_until(lambda: bench.desk.taken, 40)
    assert bench.counts.wrong_keys == 0
    send(msgspec.json.encode(payment("stray")), b"another")
    send(msgspec.json.encode(payment("bare")))
    wait_until(lambda: bench.counts.wrong_keys == 2, 20)
    assert bench.states["kafka_keys"] is False
    wait_until(lambda: bench.states.get("kafka_partitions") is True, 20)
    assert bench.states["kafka_partitions_out"] is True


def test_a_partition_that_only_parks_waits_and_goes_on(open_bench, send):
    bench = open_bench(breaker=BreakerLimits(consecutive_max=3, probe_max=50, pause_s=1.0))
    for _ in range(3):
        send(b"{")
    wait_until(lambda: bench.counts.opened == 1, 40)
    assert bench.states["kafka_parking"] is False
    put(send, "good")
    wait_until(lambda: bench.desk.taken == ["good"], 30)
    wait_until(lambda: committed(bench) == 4, 20)
    wait_until(lambda: bench.states["kafka_parking"], 30)


def test_a_node_that_was_left_out_asks_for_its_share(open_bench, send, monkeypatch):
    """As when a leader shares out before it knows the topic's partitions."""
    assign = CooperativeStickyAssignor.assign
    left_out: list[int] = []

    def nothing_at_first(self, cluster, members):
        shared = assign(self, cluster, members)
        if not left_out:
            left_out.append(len(shared))
            return {member: type(one)(one.version, [], one.user_data) for member, one in shared.items()}
        return shared

    monkeypatch.setattr(CooperativeStickyAssignor, "assign", nothing_at_first)
    bench = open_bench(patience_s=0.5)
    put(send, "waiting")
    wait_until(lambda: bench.states.get("kafka_share") is False, 40)
    wait_until(lambda: bench.desk.taken == ["waiting"], 60)
    wait_until(lambda: bench.states["kafka_share"], 20)
    assert left_out == [1]


def test_students_of_partitions_that_are_gone_are_put_away(open_bench, send):
    bench = open_bench()
    event = payment("one")
    send(msgspec.json.encode(event), str(event.student_id).encode())
    wait_until(lambda: bench.desk.taken == ["one"], 40)
    assert not bench.students.asked
    bench.windows.close(bench.windows._life, [window.topic_partition for window in bench.windows.all()])
    wait_until(lambda: bench.students.asked == [str(event.student_id)], 20)


def hang(consumer):
    """Its IO thread stands still until the event is set."""
    go_on = threading.Event()
    consumer._client._net.call_soon_threadsafe(go_on.wait)
    return go_on


def test_a_hung_client_is_replaced_and_reading_goes_on(open_bench, send):
    bench = open_bench(stuck_s=1.5)
    put(send, "before")
    wait_until(lambda: committed(bench) == 1, 40)
    go_on = hang(bench.consumers[0])
    try:
        wait_until(lambda: len(bench.consumers) > 1, 30)
        put(send, "after")
        wait_until(lambda: "after" in bench.desk.taken, 60)
    finally:
        go_on.set()
    assert bench.desk.taken.count("before") == 1


# The client of that thread is never closed; its socket goes when the collector finds it.
@pytest.mark.filterwarnings("ignore:unclosed <socket.socket fd=:ResourceWarning")
def test_a_thread_that_cannot_be_called_back_is_left_behind(open_bench, send):
    bench = open_bench(stuck_s=1.0)
    put(send, "before")
    wait_until(lambda: committed(bench) == 1, 40)
    first = bench.consumers[0]
    go_on = threading.Event()
    poll = first._client.poll

    def deaf(**options):
        go_on.wait()
        return poll(**options)

    first._client.poll = deaf
    try:
        wait_until(lambda: len(bench.consumers) > 1, 40)
        put(send, "after")
        wait_until(lambda: "after" in bench.desk.taken, 60)
    finally:
        go_on.set()
        first.give_up()
    assert bench.windows.is_current(bench.consumers[-1]._life)
