"""What the stream of incidents tells: lives of services, dependencies, and tracebacks that stay."""

import pytest

from supervision import Actor, Backoff, ChildSpec, DependencyUnavailable, PoisonPolicy, Router
from supervision.cellstate import INCIDENTS_KEPT, TRACES_KEPT, Trouble
from supervision.vitals import Incident
from tests.support.waiting import wait_until


class Service(Actor):
    away = False

    def on_receive(self, message):
        if message == "bug":
            raise RuntimeError("a bug")
        if Service.away:
            raise DependencyUnavailable("the database is away")
        return message


@pytest.fixture(autouse=True)
def back():
    Service.away = False
    yield
    Service.away = False


def told(system, path):
    return [one.kind for one in reversed(system.vitals.incidents(1000)) if one.path == path]


def test_a_service_starts_is_restarted_and_stops(system):
    ref = system.start_child(None, ChildSpec("service", Service))
    ref.tell("bug")
    wait_until(lambda: ref.cell.restarts == 1 and ref.ask("up", timeout=10))
    system.stop_child(ref)
    assert told(system, "service") == ["started", "failed", "restarted", "stopped"]


def test_the_lives_of_virtual_actors_are_only_counted(system):
    router = Router(lambda _: Service(), idle_s=0.05)
    system.start_child(None, router.spec())
    for number in range(20):
        router.tell(str(number), "x")
    wait_until(lambda: router.passivations == 20)
    assert {one.path for one in system.vitals.incidents(1000)} == {"directory"}
    node = next(one for one in system.snapshot()["children"] if one["name"] == "directory")
    assert (node["activations"], node["passivations"]) == (20, 20)


def test_a_start_is_no_trouble(system):
    ref = system.start_child(None, ChildSpec("service", Service))
    assert ref.cell.trouble is None
    assert ref.cell not in system.noticed


def test_a_dependency_is_lost_once_and_back_once_however_often_it_is_tried(system):
    spec = ChildSpec("service", Service, poison=PoisonPolicy(backoff=Backoff(0.01, 0.01)))
    ref = system.start_child(None, spec)
    Service.away = True
    ref.tell("x")
    wait_until(lambda: ref.cell.trouble is not None and ref.cell.trouble.failures >= 4)
    Service.away = False
    wait_until(lambda: "dependency_back" in told(system, "service"))
    Service.away = True
    ref.tell("y")
    wait_until(lambda: told(system, "service").count("dependency_lost") == 2)
    Service.away = False
    wait_until(lambda: told(system, "service").count("dependency_back") == 2)
    assert told(system, "service") == [
        "started",
        *["dependency_lost", "dependency_back"] * 2,
    ]
    assert system.vitals.counts["Service", "retried"] >= 3


def test_an_actor_keeps_its_newest_tracebacks_whatever_others_do():
    trouble = Trouble()
    for number in range(INCIDENTS_KEPT + 8):
        trouble.remember(Incident("a", "failed", str(number), float(number), f"trace {number}"))
        trouble.remember(Incident("a", "restarted", "", float(number)))
    traced = [one.trace for one in trouble.incidents if one.trace]
    last = INCIDENTS_KEPT + 7
    assert traced == [f"trace {number}" for number in range(last - TRACES_KEPT + 1, last + 1)]
    assert len(trouble.incidents) == INCIDENTS_KEPT


def test_a_flood_of_others_takes_no_traceback_from_an_actor(system):
    ref = system.start_child(None, ChildSpec("service", Service))
    ref.tell("bug")
    wait_until(lambda: ref.cell.restarts == 1)
    for number in range(1500):
        system.vitals.incident("others", "Other", "failed", str(number))
    (failed,) = [one for one in ref.cell.trouble.incidents if one.kind == "failed"]
    assert "RuntimeError: a bug" in failed.trace
