from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from supervision.dashboard import Dashboard
from tests.dashboard.stand import TOKEN, Tree, application, dashboard_over


@pytest.fixture
def tree() -> Iterator[Tree]:
    made = Tree()
    yield made
    made.system.stop(5)


@pytest.fixture
def dashboard(tree: Tree) -> Dashboard:
    return dashboard_over(tree)


@pytest.fixture
def client(dashboard: Dashboard) -> Iterator[TestClient]:
    """Somebody who is nobody yet."""
    with TestClient(application(dashboard)) as made:
        yield made


@pytest.fixture
def operator() -> dict[str, str]:
    """Headers of an operator."""
    return {"authorization": f"Bearer {TOKEN}"}
