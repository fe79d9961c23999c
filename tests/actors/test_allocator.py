"""The allocator rests where allocations come densely, so that a transaction holds many."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.allocation import actor as allocation
from actors.allocation.actor import Allocator
from actors.gathering import FROM_PER_S, MOST_S
from actors.messages import Allocate
from supervision import ActorRef, ChildSpec, Simulation

GROUP, SECONDS = 4, 3.0


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were allocated in each transaction; what one does is tested elsewhere."""
    found: list[int] = []

    def allocate(_: object, purchases: list[UUID]) -> tuple[list[object], list[object]]:
        found.append(len(purchases))
        return [], []

    monkeypatch.setattr(allocation, "allocate", allocate)
    return found


def _commit(simulation: Simulation, allocator: ActorRef, per_s: float) -> None:
    """Ledgers that commit groups, so that so many allocations a second are wanted."""
    for _ in range(round(SECONDS * per_s / GROUP)):
        for _ in range(GROUP):
            allocator.tell(Allocate(uuid4()))
        simulation.run(GROUP / per_s)


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(1)


@pytest.fixture
def allocator(simulation: Simulation) -> ActorRef:
    class NoConnection:
        def close(self) -> None: ...

    connection: Any = NoConnection()
    spec = ChildSpec("allocator", lambda: Allocator(connection, lambda _: None, 256))
    return simulation.system.start_child(None, spec)


def test_while_few_are_wanted_nobody_waits(
    simulation: Simulation, allocator: ActorRef, sizes: list[int]
) -> None:
    _commit(simulation, allocator, FROM_PER_S / 2)
    assert set(sizes) == {GROUP}
    assert sum(sizes) == SECONDS * FROM_PER_S / 2


def test_where_many_are_wanted_they_are_gathered_and_all_come(
    simulation: Simulation, allocator: ActorRef, sizes: list[int]
) -> None:
    _commit(simulation, allocator, 3 * FROM_PER_S)
    late = sizes[len(sizes) // 2 :]
    assert sum(late) / len(late) >= 4 * GROUP
    simulation.run(MOST_S)
    assert sum(sizes) == SECONDS * 3 * FROM_PER_S
