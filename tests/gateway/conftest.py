from collections.abc import Iterator

import pytest

from tests.gateway.support import Gateway


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gateway(redis_url: str) -> Iterator[Gateway]:
    """A gateway over an empty log."""
    with Gateway(redis_url) as served:
        yield served
