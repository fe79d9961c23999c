from collections.abc import Iterator

import pytest

from kcactors.embedded import EmbeddedRedis
from tests.gateway.support import Gateway


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def steady(redis_server: EmbeddedRedis) -> Iterator[Gateway]:
    """One gateway for all tests of a module that leave it as it was; each has students of its own."""
    with Gateway(redis_server.url) as served:
        yield served


@pytest.fixture
def gateway(redis_url: str) -> Iterator[Gateway]:
    """A gateway over an empty log."""
    with Gateway(redis_url) as served:
        yield served
