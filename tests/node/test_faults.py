"""What a node does while something dies, and what stands afterwards."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from kcactors.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedRedis
from tests.node.conftest import MakeHouse
from tests.node.house import House, Screen, new_payment
from tests.support.waiting import wait_until

AWAY_S = 10.0
REST_S = 0.05
"""Between a customer's payments: 60 payments/s in three lanes leave 3 MB of events, and the embedded broker forgets
all but the last 5 MB of a partition."""


class Till:
    """Customers who pay by webhook, one after another in a few lanes, and bring again what was refused."""

    def __init__(self, house: House, students: list[str], lanes: int = 3) -> None:
        self._house = house
        self._students = students
        self._over = threading.Event()
        self.statuses: list[int] = []
        self.paid: list[dict[str, Any]] = []
        self._threads = [threading.Thread(target=self._serve, args=(n,)) for n in range(lanes)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in self._threads)

    def served(self, status: int) -> int:
        return self.statuses.count(status)

    def _serve(self, lane: int) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            student = self._students[(lane + number) % len(self._students)]
            payment = new_payment(student, self._house.courses[number % len(self._house.courses)])
            while not self._pay(payment):
                # what the Retry-After of a refusal asks for, cut short by the end of the test
                if self._over.wait(0.2):
                    return
            self.paid.append(payment)
            self._over.wait(REST_S)

    def _pay(self, payment: dict[str, Any]) -> bool:
        try:
            status, _ = self._house.webhook(payment)
        except OSError:
            return False
        self.statuses.append(status)
        return status == 200


@contextmanager
def screens(house: House, students: list[str]) -> Iterator[list[Screen]]:
    """An open screen for each student."""
    if not students:
        yield []
        return
    with house.screen(students[0]) as first, screens(house, students[1:]) as others:
        yield [first, *others]


def heads(house: House) -> dict[str, int]:
    return {str(student): seq for student, seq in house.rows("select student_id, seq from lane")}


def see_everything(house: House, students: list[str], open_screens: list[Screen], timeout_s: float) -> None:
    """Every screen has its student's log as it is now, once and in order."""
    goal = heads(house)
    for student, screen in zip(students, open_screens, strict=True):
        wait_until(
            lambda screen=screen, student=student: len(screen.events) >= goal[student],  # type: ignore[misc]
            timeout_s,
            what=f"all {goal[student]} events on the screen",
        )
        seqs = [e["seq"] for e in screen.events]
        assert seqs == list(range(1, len(seqs) + 1))


UNPLANNED = """
    select purchase_id from allocation a where status = 'allocated'
    and not exists (select from session_plan s where s.purchase_id = a.purchase_id)"""


def published_in_order(house: House) -> None:
    """Kafka has every event, and as first seen each student's seq runs 1..n."""
    wait_until(lambda: not house.rows(UNPLANNED), 90, what="the plans of sessions")
    wait_until(lambda: house.count("outbox") == 0, 40, what="the outbox is empty")
    seen: dict[str, int] = {}
    for record in house.published():
        student, seq = record.key.decode(), int(dict(record.headers)["ce_sequence"])
        if seq > seen.get(student, 0):
            assert seq == seen.get(student, 0) + 1, f"{student} jumped to {seq}"
            seen[student] = seq
    assert seen == heads(house)


def test_a_node_killed_in_mid_load_loses_and_doubles_nothing(make_house: MakeHouse) -> None:
    house = make_house()
    students = [str(uuid4()) for _ in range(20)]
    payments = [new_payment(students[n % 20], house.courses[n % 3]) for n in range(1500)]
    twice = [p | {"event_id": f"evt_{uuid4().hex}"} for p in payments]
    house.produce(*payments)
    wait_until(lambda: house.count("purchase") > 100, what="the load is under way")
    house.node.send(signal.SIGKILL)
    wait_until(lambda: house.node.exit_code is not None)
    assert house.count("purchase") < len(payments), "killed too late to show anything"
    house.produce(*twice)
    house.start_again()
    wait_until(lambda: house.count("purchase") == len(payments), 60, what="every payment bought")
    house.is_sound()
    published_in_order(house)


def test_redis_away_for_ten_seconds(make_house: MakeHouse, own_redis: EmbeddedRedis) -> None:
    house = make_house(redis_url=own_redis.url, KCACTORS_GATEWAY_POLL_S="1")
    students = [str(uuid4()) for _ in range(4)]
    with screens(house, students) as open_screens, Till(house, students) as till:
        wait_until(lambda: till.served(200) > 30)
        own_redis.stop()
        before = till.served(200)
        over = threading.Event()
        over.wait(AWAY_S)
        assert till.served(200) > before + 30, "payments went on"
        wait_until(lambda: house.count("outbox") < 200, what="Kafka goes on")
        wait_until(
            lambda: any(
                '"status"' in f and '"live":false' in f.replace(" ", "") for f in open_screens[0].frames
            ),
            what="the screen says that it is not live",
        )
        own_redis.start()
        wait_until(lambda: till.served(200) > before + 100)
        till.__exit__()
        assert set(till.statuses) == {200}
        see_everything(house, students, open_screens, 40)
    house.is_sound()
    published_in_order(house)


def test_kafka_away_for_ten_seconds(make_house: MakeHouse, kafka_down: EmbeddedKafka) -> None:
    house = make_house()
    students = [str(uuid4()) for _ in range(4)]
    with screens(house, students) as open_screens, Till(house, students) as till:
        wait_until(lambda: till.served(200) > 30)
        kafka_down.set_down()
        before = till.served(200)
        over = threading.Event()
        over.wait(AWAY_S)
        assert till.served(200) > before + 30, "webhooks went on"
        status, ready = house.request("GET", "/readyz")
        assert status == 200
        assert "kafka" in json.dumps(ready)
        see_everything(house, students, open_screens, 20)
        kafka_down.set_up()
        wait_until(lambda: till.served(200) > before + 100)
        till.__exit__()
        assert set(till.statuses) == {200}
        see_everything(house, students, open_screens, 20)
    house.is_sound()
    published_in_order(house)


def test_postgres_restarted_under_load(make_house: MakeHouse, own_postgres: EmbeddedPostgres) -> None:
    house = make_house(database_url=own_postgres.url)
    students = [str(uuid4()) for _ in range(4)]
    by_kafka = [new_payment(students[n % 4], house.courses[n % 3]) for n in range(300)]
    with screens(house, students) as open_screens, Till(house, students) as till:
        wait_until(lambda: till.served(200) > 30)
        own_postgres.stop()
        house.produce(*by_kafka)
        wait_until(lambda: till.served(503) >= 3, 20, what="webhooks are refused meanwhile")
        assert house.request("GET", "/readyz")[0] == 503
        own_postgres.start()
        before = till.served(200)
        wait_until(lambda: till.served(200) > before + 30, 40, what="webhooks are taken again")
        till.__exit__()
        assert house.node.exit_code is None
        bought = len(till.paid) + len(by_kafka)
        wait_until(lambda: house.count("purchase") >= bought, 40, what="everything bought")
        see_everything(house, students, open_screens, 40)
    paid = {p["payment_id"] for p in till.paid + by_kafka}
    assert paid <= {row[0] for row in house.rows("select payment_id from purchase")}
    house.is_sound()
    published_in_order(house)


def test_a_node_that_is_told_to_leave_drains_and_ends_with_0(make_house: MakeHouse, tmp_path: Path) -> None:
    house = make_house()
    students = [str(uuid4()) for _ in range(20)]
    payments = [new_payment(students[n % 20], house.courses[n % 3]) for n in range(600)]
    house.produce(*payments)
    wait_until(lambda: house.count("purchase") > 50)
    house.node.send(signal.SIGTERM)
    wait_until(lambda: house.node.exit_code is not None, 30, what="the node is gone")
    assert house.node.exit_code == 0
    assert house.count("outbox") == 0
    assert house.rows("select count(*) from allocation where status = 'requested'") == [(0,)]
    house.start_again()
    wait_until(lambda: house.count("purchase") == len(payments), 40)
    house.is_sound()
