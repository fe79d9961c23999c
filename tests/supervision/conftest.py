"""Systems that are stopped, and must leave no thread behind."""

import threading
from functools import partial

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
        wait_until(partial(_no_thread_of, system, before), 5.0, what="no thread left behind")


def _no_thread_of(system, before):
    mine = set(threading.enumerate()) - before
    return not [thread for thread in mine if thread.name.startswith(f"{system.name}-")]


@pytest.fixture
def system(make_system):
    return make_system()
