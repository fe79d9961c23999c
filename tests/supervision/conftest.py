"""Systems that are stopped, and must leave no thread behind."""

import threading

import pytest

from supervision import System
from tests.support.waiting import wait_until


@pytest.fixture
def make_system():
    """Makes systems with real threads; each must stop cleanly and leave no thread, unless the test stops it itself."""
    made = []

    def make(name="t", **options):
        system = System(name, **options)
        made.append(system)
        return system

    before = set(threading.enumerate())
    yield make
    for system in made:
        system.stop(10.0)
        wait_until(
            lambda name=system.name: (
                not [
                    thread
                    for thread in set(threading.enumerate()) - before
                    if thread.name.startswith(f"{name}-")
                ]
            ),
            5.0,
            what="no thread left behind",
        )


@pytest.fixture
def system(make_system):
    return make_system()
