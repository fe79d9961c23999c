"""The database ends the transaction's backend after one of its statements, or right after its commit."""

import threading
from uuid import uuid4

import psycopg
import pytest

from tests.actors.transaction import apply, new_course, outcomes, payment
from tests.support.waiting import wait_until

TABLES = ("lane", "inbox", "payment", "purchase", "allocation", "event", "outbox")


def dies_once_after(database: "psycopg.Connection[object]", table: str) -> None:
    """The first statement that writes the table ends its own session. A sequence is not rolled back: it counts."""
    database.execute("create sequence doomed")
    database.execute(
        "create function doom() returns trigger language plpgsql as $$ begin"
        " if nextval('doomed') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if; return null; end $$"
    )
    database.execute(
        f'create trigger doom after insert or update on "{table}" for each statement execute function doom()'
    )


@pytest.mark.parametrize("table", TABLES)
def test_all_or_nothing_after_each_statement(database, database_url, table):
    course = new_course(database, 10)
    event = payment(uuid4(), course)
    dies_once_after(database, table)
    with psycopg.connect(database_url, autocommit=True) as doomed, pytest.raises(psycopg.OperationalError):
        apply(doomed, event)
    for each in TABLES:
        assert database.execute(f'select count(*) from "{each}"').fetchone() == (0,), each
    assert outcomes(apply(database, event)) == ["created"]
    assert database.execute("select last_value from doomed").fetchone()[0] >= 2, "the statement was reached"
    assert outcomes(apply(database, event)) == ["exists"]


def test_a_commit_whose_answer_is_lost_is_found_when_it_is_brought_again(
    database, database_url, postgres_proxy
):
    course = new_course(database, 10)
    event = payment(uuid4(), course)

    def stands() -> bool:
        return bool(database.execute("select count(*) from purchase").fetchone() == (1,))

    with psycopg.connect(postgres_proxy.url(database_url), autocommit=True) as far:
        far.execute("select 1")
        postgres_proxy.lose_answers()
        lost = threading.Thread(target=lambda: raises(psycopg.OperationalError, apply, far, event))
        lost.start()
        wait_until(stands, 20)
        postgres_proxy.reset()
        lost.join(20)
        assert not lost.is_alive()
    assert outcomes(apply(database, event)) == ["exists"]
    assert database.execute("select count(*) from event").fetchone() == (2,)


def raises(expected, call, *args):
    with pytest.raises(expected):
        call(*args)
