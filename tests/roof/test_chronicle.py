"""What happens at the edges of the tree, as incidents."""

import pytest

from actors.messages import Park
from actors.protocol.outcome import Settled
from kcactors.chronicle import PARKED_TOLD, WINDOW_S, Chronicle
from supervision import ManualClock, System


class Nobody:
    def settle(self, settled: Settled) -> None:
        raise AssertionError("nobody is answered")


def park(stage: str = "decode") -> Park:
    return Park(stage, "student_id is missing", "student_id", b"{}", Nobody(), "kc")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def system(clock):
    made = System("chronicle", clock=clock)
    yield made
    made.stop(5)


@pytest.fixture
def chronicle(system):
    return Chronicle(system)


def told(system):
    return [(one.path, one.kind, one.detail) for one in reversed(system.vitals.incidents())]


def test_redis_is_lost_and_back_and_a_first_look_that_finds_it_well_is_no_news(system, chronicle):
    chronicle.state("redis", None, True)
    chronicle.state("redis", True, False)
    chronicle.state("redis", False, True)
    chronicle.state("kafka", True, False)
    assert told(system) == [
        ("publisher/announcer", "dependency_lost", "redis"),
        ("publisher/announcer", "dependency_back", "redis"),
    ], "of Kafka the relay tells, which fails over it"


def test_a_parked_message_is_told_once(system, chronicle):
    chronicle.parked(park())
    chronicle.parked(park("student"))
    assert told(system) == [("core", "parked", "decode: student_id is missing")]


def test_a_flood_of_parked_messages_does_not_drown_the_rest_and_is_counted(system, chronicle, clock):
    for _ in range(PARKED_TOLD + 30):
        chronicle.parked(park())
    assert len(told(system)) == PARKED_TOLD
    assert system.vitals.counts["Ledger", "parked"] == PARKED_TOLD + 30
    clock.advance(WINDOW_S + 1)
    chronicle.parked(park())
    assert len(told(system)) == PARKED_TOLD + 1


def test_losing_partitions_is_being_fenced_out(system, chronicle):
    chronicle.fenced(3)
    assert told(system) == [("core/ingest", "fenced_out", "3 partitions belong to others now")]
