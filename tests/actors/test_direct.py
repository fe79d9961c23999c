"""The short way to the database: errors sorted as everywhere, and a transaction that is whole or nothing."""

import json

import psycopg
import pytest

from actors.store.connection import Connection
from actors.store.errors import BadData, Contended, DatabaseAway, StoreFault

EMPTY = b'{"parks": []}'


@pytest.fixture
def connection(database_url):
    with Connection(database_url, "test") as connection:
        yield connection


@pytest.fixture
def statements(monkeypatch):
    """Statements of the test's own, by name."""
    known = {
        "double": "select (%s::int * 2)::text",
        "write": "insert into course (course_id, title) values (gen_random_uuid(), %s) returning title",
        "nothing": "select null::text where %s::text is null",
        "missing": "select kc.there_is_no_such_function(%s)",
        "hang": "select pg_sleep(%s::float)::text",
        "die": "select pg_terminate_backend(pg_backend_pid())::text || %s",
    }
    monkeypatch.setattr("actors.store.direct._statement", lambda name: known[name].encode())


def titles(database):
    return [title for (title,) in database.execute("select title from course order by title")]


def trip(connection, *steps):
    """One transaction of these: a place, a statement's name and its argument, or something to call."""
    with connection.two_trips() as trips:
        for step in steps:
            step() if callable(step) else getattr(trips, step[0])(*step[1:])


def backend(connection):
    return connection._open().info.backend_pid


class TestOneStatement:
    def test_is_answered_as_text_however_often(self, connection, statements):
        assert [connection.text("double", str(n).encode()) for n in range(3)] == [b"0", b"2", b"4"]
        assert connection.text("nothing", b"x") == b""

    def test_is_the_transaction_itself(self, connection):
        assert json.loads(connection.text("apply", EMPTY)) == {"verdicts": [], "events": []}

    def test_is_prepared_again_on_a_new_connection(self, connection, statements):
        connection.text("double", b"1")
        connection.close()
        assert connection.text("double", b"2") == b"4"
        assert connection.generation == 2

    @pytest.mark.parametrize(
        ("name", "argument", "error"),
        [("double", b"no number", BadData), ("missing", b"x", StoreFault), ("write", b"\xff", BadData)],
    )
    def test_has_the_errors_of_every_statement(self, connection, statements, name, argument, error):
        with pytest.raises(error):
            connection.text(name, argument)
        assert connection.text("double", b"2") == b"4"

    def test_that_takes_too_long_is_contended(self, connection, statements):
        connection._open().execute("set statement_timeout = '50ms'")
        with pytest.raises(Contended):
            connection.text("hang", b"30")

    def test_whose_backend_is_gone_is_away_and_the_next_connects(self, connection, statements, database):
        connection.text("double", b"1")
        database.execute("select pg_terminate_backend(%s, 5000)", (backend(connection),))
        with pytest.raises(DatabaseAway):
            connection.text("double", b"1")
        assert connection.text("double", b"3") == b"6"

    def test_that_ends_its_own_backend_is_away(self, connection, statements):
        with pytest.raises(DatabaseAway):
            connection.text("die", b"")


class TestTwoTrips:
    def test_stand_together_once_the_last_is_answered(self, connection, statements, database):
        with connection.two_trips() as trips:
            assert trips.first("write", b"it's one") == b"it's one"
            assert titles(database) == []
            assert (
                trips.last("write", b"two \\ '; drop table course; --") == b"two \\ '; drop table course; --"
            )
            assert titles(database) == ["it's one", "two \\ '; drop table course; --"]

    def test_leave_nothing_without_the_last(self, connection, statements, database):
        with connection.two_trips() as trips:
            trips.first("write", b"one")
        assert titles(database) == []
        assert connection.text("write", b"after") == b"after"
        assert titles(database) == ["after"]

    def test_leave_nothing_when_anything_fails_between(self, connection, statements, database):
        with pytest.raises(ZeroDivisionError):
            trip(connection, ("first", "write", b"one"), lambda: 1 / 0)
        assert titles(database) == []
        assert connection.text("double", b"1") == b"2"

    @pytest.mark.parametrize("place", ["first", "last"])
    def test_leave_nothing_when_a_statement_is_refused(self, connection, statements, database, place):
        before = [("first", "write", b"one")] if place == "last" else []
        with pytest.raises(BadData):
            trip(connection, *before, (place, "double", b"no number"))
        assert titles(database) == []
        assert connection.text("write", b"after") == b"after"
        assert titles(database) == ["after"]

    def test_leave_nothing_when_the_commit_is_refused(self, connection, statements, database):
        database.execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise check_violation; end $$"
        )
        database.execute(
            "create constraint trigger refuse after insert on course deferrable initially deferred"
            " for each row execute function refuse()"
        )
        with pytest.raises(BadData):
            trip(connection, ("first", "double", b"1"), ("last", "write", b"one"))
        assert titles(database) == []

    @pytest.mark.parametrize("place", ["first", "last"])
    def test_whose_backend_is_gone_are_away(self, connection, statements, database, place):
        def end():
            database.execute("select pg_terminate_backend(%s, 5000)", (backend(connection),))

        before = [("first", "write", b"one")] if place == "last" else []
        with pytest.raises(DatabaseAway):
            trip(connection, *before, end, (place, "write", b"two"))
        assert titles(database) == []

    def test_are_a_part_of_the_transaction_around_them(self, connection, statements, database):
        with connection.transaction(rehearse=True):
            with connection.two_trips() as trips:
                trips.first("write", b"one")
                trips.last("write", b"two")
            assert connection.rows("epoch")
        assert titles(database) == []
        with connection.transaction(), connection.two_trips() as trips:
            trips.first("write", b"one")
        assert titles(database) == ["one"]


def test_the_drivers_own_way_goes_on_beside_it(connection, statements):
    connection.text("double", b"1")
    assert connection.rows("epoch")[0][0]
    with connection.two_trips() as trips:
        trips.first("double", b"1")
        assert connection._open().info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert connection._open().info.transaction_status == psycopg.pq.TransactionStatus.IDLE
