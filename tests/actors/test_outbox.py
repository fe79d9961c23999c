"""What a round of the relay asks of the database: as much with old statistics as with new ones, no lock too many."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from actors.publisher.outbox import decode
from actors.store.sql import query
from tests.support.waiting import wait_until

Database = psycopg.Connection[Any]

SPACE, MOST = 7, 500
BACKLOG, STEP, ROUNDS = 8_000, 50, 4
ROWS = """
with events as (
    insert into event (event_id, student_id, seq, type, purchase_id, correlation_id, data)
    select gen_random_uuid(), %(student)s, n, 'PURCHASE_CREATED', %(student)s, 'p', '{}'
    from generate_series(1, %(count)s) n
    returning event_id, student_id, seq
)
insert into outbox (shard, event_id, student_id, seq)
select %(shard)s, event_id, student_id, seq from events order by seq
"""
LOOKS = """
select (select seq_scan from pg_stat_user_tables where relname = 'outbox'),
    (select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'outbox')
"""


def fill(database: Database, shard: int, count: int) -> None:
    database.execute(ROWS, {"student": uuid4(), "shard": shard, "count": count})


def claim(database: Database) -> tuple[list[int], list[Any]]:
    row = database.execute(query("relay_claim"), {"space": SPACE, "most": MOST}).fetchone()
    assert row is not None
    return row[0], decode(row[1])


def looked(database: Database) -> tuple[int, int]:
    database.execute("select pg_stat_force_next_flush()")
    row = database.execute(LOOKS).fetchone()
    assert row is not None
    return int(row[0]), int(row[1] or 0)


@pytest.mark.parametrize("rows_then", [0, 1, 5_000])
def test_a_round_reads_its_own_rows_and_not_the_whole_backlog(database: Database, rows_then: int) -> None:
    """However many there were when the statistics and the session's plan were made."""
    if rows_then:
        fill(database, 0, rows_then)
    database.execute("vacuum analyze outbox")
    claim(database)
    database.execute("delete from outbox")
    for _ in range(BACKLOG // (16 * STEP)):
        for shard in range(16):
            fill(database, shard, STEP)
    before = looked(database)
    for _ in range(ROUNDS):
        shards, rows = claim(database)
        assert len(shards) == 16
        assert len(rows) == MOST
        database.execute(query("relay_delete"), ([row.id for row in rows],))
    scans, read = (now - then for now, then in zip(looked(database), before, strict=True))
    assert scans == 0, "the outbox was read whole"
    assert read < rows_then + ROUNDS * BACKLOG / 2, f"{read} rows of an index in {ROUNDS} rounds of {MOST}"


def test_a_round_locks_the_shards_that_have_rows_and_no_other(database: Database) -> None:
    fill(database, 3, 2)
    fill(database, 9, 2)
    shards, rows = claim(database)
    held = database.execute(
        "select objid::int from pg_locks where locktype = 'advisory' and classid = %s order by 1", (SPACE,)
    ).fetchall()
    assert sorted(shards) == [3, 9]
    assert [shard for (shard,) in held] == [3, 9]
    assert [row.event.seq for row in rows] == [1, 2, 1, 2]


def test_what_another_relay_holds_is_left_alone(database: Database, database_url: str) -> None:
    fill(database, 3, 2)
    with psycopg.connect(database_url, autocommit=True) as other:
        assert claim(other)[0] == [3]
        fill(database, 9, 1)
        assert claim(database)[0] == [9]
    wait_until(
        lambda: sorted(claim(database)[0]) == [3, 9], 10, what="the session that ended takes its locks along"
    )
