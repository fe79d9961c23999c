"""The auditor as an actor: it looks by itself, keeps and shows what it finds, and leaves others their turn."""

import pytest

from actors.audit.actor import ADVISORY_SPACE, Auditor
from actors.audit.checks import AuditLimits
from actors.reconciler.retention import RetentionLimits
from actors.store.connection import Connection
from supervision import ChildSpec, System
from tests.operators.breaking import break_a14, mark
from tests.support.waiting import wait_until


class Shown:
    def __init__(self):
        self.found, self.taken, self.looks = [], {}, {}

    def findings(self, found):
        self.found.append({each.kind: each.count for each in found})

    def looked(self, kind):
        self.looks[kind] = self.looks.get(kind, 0) + 1

    def removed(self, table, rows):
        self.taken[table] = self.taken.get(table, 0) + rows


@pytest.fixture
def start(database_url):
    system = System("test")

    def auditor(**retention):
        shown = Shown()
        limits = AuditLimits(interval_s=0.05)

        def make():
            return Auditor(Connection(database_url, "audit"), limits, RetentionLimits(**retention), shown)

        system.start_child(None, ChildSpec("audit", make, drain=False))
        return shown

    yield auditor
    assert system.stop(20)


def test_it_finds_and_shows_by_itself(world, start):
    break_a14(world)
    shown = start()
    wait_until(lambda: shown.found and shown.found[-1] == {"trainer_load": 1}, 60)
    world.database.execute(
        "update trainer t set load = (select count(*) from allocation a"
        " where a.trainer_id = t.trainer_id and a.status = 'allocated')"
    )
    wait_until(lambda: shown.found[-1] == {}, 60)
    assert world.database.execute("select kind, state from finding").fetchall() == [("trainer_load", "gone")]


def test_one_looks_at_a_time(world, start):
    break_a14(world)
    world.database.execute("select pg_advisory_lock(%s, 0)", (ADVISORY_SPACE,))
    shown = start()
    wait_until(lambda: len(shown.found) > 3, 60)
    assert set(map(str, shown.found)) == {"{}"}
    assert shown.looks == {}, "it was another's turn"
    world.database.execute("select pg_advisory_unlock(%s, 0)", (ADVISORY_SPACE,))
    wait_until(lambda: shown.found[-1] == {"trainer_load": 1}, 60)


def test_it_removes_what_is_old(world, start):
    world.database.execute("update inbox set received_at = now() - interval '100 days'")
    mark(world, "lost")
    marks = world.database.execute("select count(*) from inbox").fetchone()[0]
    shown = start(interval_s=0.05, batch_max=2)
    wait_until(lambda: shown.taken.get("inbox") == marks - 1, 60)
    assert world.database.execute("select payment_id from inbox").fetchall() == [("lost",)]
