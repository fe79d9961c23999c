"""Redis for tests: one server a session, empty for each test."""

import socket
from collections.abc import Iterator

import pytest

from kcactors.embedded import EmbeddedRedis


def _flush(server: EmbeddedRedis) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(64) == b"+OK\r\n"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The session's server. Tests that stop it take `own_redis`."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The session's server, emptied."""
    _flush(redis_server)
    return redis_server.url


@pytest.fixture
def own_redis(redis_server: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, to stop and start; its port stays."""
    with EmbeddedRedis() as server:
        yield server
