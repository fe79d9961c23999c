"""PostgreSQL for tests: one server a session, one migrated template, one clone of it a test."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from actors.store.migrate import migrate
from kcactors.embedded import EmbeddedPostgres, throwaway_dir

_TEMPLATE = "kc_template"


def _run(server: EmbeddedPostgres, statement: str, *names: str) -> None:
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The session's server. Tests that stop or kill a server take `own_postgres`."""
    with throwaway_dir() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        try:
            with server:
                yield server
        finally:
            server.destroy()


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """Name of a database with the newest schema; to be cloned, never connected to."""
    _run(postgres_server, "CREATE DATABASE {}", _TEMPLATE)
    migrate(postgres_server.url_of(_TEMPLATE))
    _run(postgres_server, "ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false", _TEMPLATE)
    return _TEMPLATE


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database of the test's own, without any schema."""
    name = f"t_{uuid.uuid4().hex}"
    _run(postgres_server, "CREATE DATABASE {}", name)
    yield postgres_server.url_of(name)
    _run(postgres_server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, with the newest schema and no rows."""
    name = f"t_{uuid.uuid4().hex}"
    _run(postgres_server, "CREATE DATABASE {} TEMPLATE {}", name, migrated_template)
    yield postgres_server.url_of(name)
    _run(postgres_server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def database(database_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """An autocommit connection to the test's database, to arrange and to look."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def own_postgres(postgres_server: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A running, migrated server of the test's own, to stop, kill and start (costs a second)."""
    with throwaway_dir() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        try:
            with server:
                migrate(server.url)
                yield server
        finally:
            server.destroy()
