"""The promise, asked of the database and of the topic after a run. It trusts no counter of the service."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from kafka import KafkaConsumer, TopicPartition

from actors.broker import Broker
from tests.chaos.cluster import Cluster

CHECKS: Final = {
    "payments without a purchase": """
        select payment_id from payment left join purchase using (provider, payment_id)
        where payment.state = 'captured' and purchase_id is null""",
    "purchases without a payment": """
        select payment_id from purchase left join payment using (provider, payment_id)
        where payment.payment_id is null""",
    "payments with several purchases": """
        select payment_id from purchase group by provider, payment_id having count(*) > 1""",
    "purchases without exactly one decided allocation": """
        select p.purchase_id::text from purchase p left join allocation a using (purchase_id)
        group by p.purchase_id having count(a.*) filter (where a.status in ('allocated', 'waitlisted')) <> 1""",
    "trainers whose load is not their allocations": """
        select t.trainer_id::text from trainer t left join allocation a using (trainer_id)
        group by t.trainer_id
        having t.load <> count(a.*) filter (where a.status = 'allocated') or t.load > t.capacity""",
    "students whose numbers have holes": """
        select l.student_id::text from lane l left join event e using (student_id) group by l.student_id, l.seq
        having count(e.*) <> l.seq or coalesce(max(e.seq), 0) <> l.seq or coalesce(min(e.seq), 1) <> 1""",
    "purchases without exactly one PURCHASE_CREATED": """
        select p.purchase_id::text from purchase p left join event e using (purchase_id)
        group by p.purchase_id having count(e.*) filter (where e.type = 'PURCHASE_CREATED') <> 1""",
    "allocations without exactly one COURSE_ACCESS_GRANTED": """
        select a.purchase_id::text from allocation a left join event e using (purchase_id)
        where a.status = 'allocated' group by a.purchase_id
        having count(e.*) filter (where e.type = 'COURSE_ACCESS_GRANTED') <> 1""",
    "students without exactly one COURSE_PURCHASED for each course": """
        select p.student_id::text from purchase p left join event e using (purchase_id)
        group by p.student_id, p.course_id having count(e.*) filter (where e.type = 'COURSE_PURCHASED') <> 1""",
    "events that are still in the outbox": "select event_id::text from outbox",
}


def audit(cluster: Cluster, sent: Iterable[str], parked: Iterable[bytes]) -> list[str]:
    """What is wrong, in words; empty when the promise was kept.

    Args:
        sent: ids of the payments that were captured.
        parked: payloads that had to be parked.
    """
    with psycopg.connect(cluster.database_url, autocommit=True) as database:
        wrong = [
            f"{len(rows)} {name}, such as {rows[0][0]}"
            for name, statement in CHECKS.items()
            if (rows := database.execute(statement).fetchall())
        ]
        wrong += _purchases(database, set(sent))
        wrong += _parked(database, set(parked))
        lanes: dict[str, int] = {str(s): n for s, n in database.execute("select student_id, seq from lane")}
    wrong += _topic(cluster, lanes)
    return wrong + [f"{lag} records are not committed" for lag in [behind(cluster)] if lag]


def _purchases(database: "psycopg.Connection[Any]", sent: set[str]) -> list[str]:
    made = {row[0] for row in database.execute("select payment_id from purchase")}
    wrong = [f"{len(sent - made)} payments were lost, such as {min(sent - made)}"] if sent - made else []
    return wrong + ([f"{len(made - sent)} purchases of nothing that was sent"] if made - sent else [])


def _parked(database: "psycopg.Connection[Any]", expected: set[bytes]) -> list[str]:
    found = {_digest(bytes(row[0])): row[1] for row in database.execute("select payload, reason from parked")}
    wanted = {_digest(each) for each in expected}
    wrong = [f"parked for no reason that we know: {found[d]}" for d in sorted(found.keys() - wanted)[:3]]
    lost = len(wanted - found.keys())
    return wrong + ([f"{lost} undecodable records were not parked"] if lost else [])


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _topic(cluster: Cluster, lanes: dict[str, int]) -> list[str]:
    """Every student's numbers, as first seen on the topic, run from 1 to the lane's, in order."""
    last: Counter[str] = Counter()
    disorder: list[str] = []
    for student, seq in _numbers(cluster):
        if seq == last[student] + 1:
            last[student] = seq
        elif seq > last[student]:
            disorder.append(f"{student} saw {seq} after {last[student]}")
    missing = [student for student, seq in lanes.items() if last[student] < seq]
    wrong = [f"{len(disorder)} events out of order on Kafka, such as {disorder[0]}"] if disorder else []
    return wrong + ([f"{len(missing)} students miss events on Kafka"] if missing else [])


def _numbers(cluster: Cluster) -> Iterable[tuple[str, int]]:
    with _reader(cluster) as reader:
        topic = cluster.events
        places = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
        reader.assign(places)
        ends = reader.end_offsets(places)
        while any(reader.position(place) < ends[place] for place in places):
            for records in reader.poll(timeout_ms=500).values():
                for record in records:
                    headers = dict(record.headers)
                    yield headers["ce_source"].decode().rpartition("/")[2], int(headers["ce_sequence"])


def behind(cluster: Cluster) -> int:
    """Payment records that the group has not committed."""
    with _reader(cluster, group_id=cluster.group) as reader:
        topic = cluster.payments
        places = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
        ends = reader.end_offsets(places)
        return sum(ends[place] - (reader.committed(place) or 0) for place in places)


def _reader(cluster: Cluster, **config: Any) -> "contextlib.closing[Any]":
    client = KafkaConsumer(
        **Broker(bootstrap=cluster.kafka.bootstrap).client_config(),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **config,
    )
    return contextlib.closing(client)
