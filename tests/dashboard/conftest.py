import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from supervision.dashboard import Dashboard
from tests.dashboard.stand import TOKEN, Tree, application, dashboard_over
from tests.dashboard.visitor import FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The Chromium that is there. Tests that use it are marked ``browser``.

    Not for longer than a module: while Playwright runs, its thread can run no other loop.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="left out: browser: Playwright is not installed"
    )
    found = next(
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    )
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=found, args=FLAGS)
        yield launched
        launched.close()


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
