"""The reconciler's looks: the recent ones read what came lately, the whole ones find what is old, and how often."""

from functools import partial
from typing import Any

import pytest

from actors.reconciler.actor import Reconciler, ReconcilerLimits
from actors.reconciler.duty import SHARE_MAX
from actors.reconciler.plan import planned
from actors.store.connection import Connection
from actors.store.sql import query
from supervision import Actor, ChildSpec, ManualClock, System
from tests.support.waiting import wait_until

OLD_ROWS = 40_000
LOOK_S = 10.0
RECENT = ("heal_payments", "heal_purchases", "heal_marks")
BROKEN = {
    "heal_payments": (
        "insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, updated_at)"
        " values ('kc', %s, 'captured', gen_random_uuid(), gen_random_uuid(), 4, 1, 'INR', now() - %s * interval '1 s')"
    ),
    "heal_purchases": (
        "insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency,"
        " created_at) values (gen_random_uuid(), 'kc', %s, gen_random_uuid(), (select course_id from course limit 1),"
        " 4, 1, 'INR', now() - %s * interval '1 s')"
    ),
    "heal_marks": (
        "insert into inbox (provider, event_id, payment_id, received_at)"
        " values ('kc', gen_random_uuid(), %s, now() - %s * interval '1 s')"
    ),
}
FILL = """
with made as materialized (
    select n, 'old-' || n as payment_id, md5('s' || n)::uuid as student_id, md5('p' || n)::uuid as purchase_id,
        c.course_id, now() - interval '1 day' as at
    from generate_series(1, %s) n, (select course_id from course limit 1) c
), paid as (
    insert into payment (provider, payment_id, student_id, course_id, tier, amount, currency, updated_at)
    select 'kc', payment_id, student_id, course_id, 4, 1, 'INR', at from made
), bought as (
    insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, created_at)
    select purchase_id, 'kc', payment_id, student_id, course_id, 4, 1, 'INR', at from made
), placed as (
    insert into allocation (allocation_id, purchase_id, student_id, course_id, status, requested_at)
    select md5('a' || n)::uuid, purchase_id, student_id, course_id, 'waitlisted', at from made
), marked as (
    insert into inbox (provider, event_id, payment_id, received_at) select 'kc', 'e' || n, payment_id, at from made
)
insert into event (event_id, student_id, seq, type, purchase_id, correlation_id, data, created_at)
select md5('e' || n)::uuid, student_id, 1, 'PURCHASE_CREATED', purchase_id, payment_id, '{}', at from made
"""
TABLES = ["payment", "purchase", "allocation", "inbox", "event"]


READ = (
    "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0) + coalesce(idx_scan, 0)) from pg_stat_xact_user_tables"
    " where relname = any (%s)"
)


def look(connection, name, back_s):
    with planned(connection, whole=back_s is None):
        return connection.rows(name, {"age_s": 5.0, "back_s": back_s, "most": 500})


def rows_read(database, name, back_s):
    """How many rows a look reads, by scan or by index; prepared, as the reconciler's connection does in time."""
    with database.transaction():
        database.execute(query("look_plan"), {"whole": back_s is None})
        (before,) = database.execute(READ, (TABLES,)).fetchone()
        database.execute(query(name), {"age_s": 5.0, "back_s": back_s, "most": 500}, prepare=True)
        (after,) = database.execute(READ, (TABLES,)).fetchone()
    return after - before


@pytest.mark.parametrize("statistics", ["none", "of empty tables", "true"])
def test_a_recent_look_reads_what_came_lately_whatever_the_statistics_say(world, connection, statistics):
    database = world.database
    if statistics == "of empty tables":
        database.execute(f"truncate {', '.join(TABLES)} cascade")
        database.execute(f"vacuum analyze {', '.join(TABLES)}")
    for _ in range(8):
        # as often as it takes until a plan for any values would be kept
        for name in RECENT:
            rows_read(database, name, 60.0)
    database.execute(FILL.encode(), (OLD_ROWS,))
    for index in ("payment_updated", "purchase_created", "inbox_received"):
        # what autovacuum does when a range is full
        database.execute("select brin_summarize_new_values(%s::regclass)", (index,))
    if statistics == "true":
        database.execute(f"analyze {', '.join(TABLES)}")
    for name in RECENT:
        database.execute(BROKEN[name], (f"{name} lately", 10))
        database.execute(BROKEN[name], (f"{name} long ago", 2 * 86_400))
    for name in RECENT:
        lately = rows_read(database, name, 60.0)
        assert lately < OLD_ROWS / 2, name
        assert lately * 4 < rows_read(database, name, None), name
        found = look(connection, name, 60.0)
        assert [row[2 if name == "heal_marks" else 1] for row in found] == [f"{name} lately"]
        assert len(look(connection, name, None)) == 2, name


class Slow(Connection):
    """Time stands still but for its looks at whole tables, each of which takes as long as with very many rows."""

    def __init__(self, url, clock):
        super().__init__(url, "reconciler")
        self.clock, self.looks, self._whole = clock, [], False

    def rows(self, name, parameters=()):
        if name == "look_plan":
            self._whole = parameters["whole"]
        elif name.startswith("heal_") and name != "heal_allocations":
            self.looks.append((name, self._whole))
            self.clock.move_to(self.clock.monotonic() + (LOOK_S if self._whole else 0.0))
        return super().rows(name, parameters)


class Nobody(Actor):
    """An allocator without work."""

    def on_receive(self, message):
        del message


class Counted:
    def reconciled(self, kind, cases):
        pass


def findings(database):
    rows = database.execute("select subject from finding where kind = 'mark_without_effect'").fetchall()
    return {row[0] for row in rows}


def test_what_is_old_is_found_at_the_start_and_then_as_often_as_the_duty_allows(world, database_url):
    """Marks without a payload: what is found becomes a finding, and nothing is brought again."""

    def mark(name, age_s):
        world.database.execute(
            "insert into inbox (provider, event_id, payment_id, received_at)"
            " values ('kc', %s, %s, now() - %s * interval '1 s')",
            (name, name, age_s),
        )

    clock = ManualClock()
    connection = Slow(database_url, clock)
    system = System("test", clock=clock)
    allocator = system.start_child(None, ChildSpec("allocator", Nobody))
    limits = ReconcilerLimits(interval_s=100.0)
    intake: Any = None

    def make():
        return Reconciler(connection, intake, allocator, limits, Counted(), world.events.extend)

    def looked(looks):
        return len(connection.looks) >= looks

    def rounds(number):
        """The recent looks of so many intervals."""
        for _ in range(number):
            before = len(connection.looks)
            clock.advance(limits.interval_s)
            wait_until(partial(looked, before + len(RECENT)), 30)

    mark("before", 86_400)
    system.start_child(None, ChildSpec("reconciler", make, drain=False))
    wait_until(lambda: findings(world.database) == {"kc:before"}, 30)
    wait_until(lambda: len(connection.looks) == len(RECENT), 30)
    assert connection.looks == [(name, True) for name in RECENT], "a crash may just have been"
    mark("lately", 20)
    mark("long-ago", 86_400)
    rounds(1)
    wait_until(lambda: findings(world.database) == {"kc:before", "kc:lately"}, 30)
    assert [whole for _, whole in connection.looks[len(RECENT) :]] == [False] * len(RECENT), (
        "but not again at once"
    )
    start_s = clock.monotonic()
    rounds(60)
    wait_until(lambda: "kc:long-ago" in findings(world.database), 30)
    looks = [name for name, whole in connection.looks[2 * len(RECENT) :] if whole]
    assert len(looks) * LOOK_S <= SHARE_MAX * (clock.monotonic() - start_s) + LOOK_S
    assert set(looks) == {*RECENT, "heal_events"}, "each has its turn"
    assert system.stop(20)
