"""Where supervision.Actor differs from pykka.ThreadingActor on purpose; the README lists each with its reason."""

import threading
from typing import Any

import pykka
import pytest

from supervision import Actor, ActorDeadError, BlockingAskRefused, ChildSpec
from tests.support.waiting import wait_until

PATIENCE_S = 5.0


class Plain(Actor):
    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


@pytest.fixture(autouse=True)
def clean():
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE_S)


def test_waiting_inside_a_shared_actor_is_refused():
    other, ref = Plain.start(), Plain.start()
    with pytest.raises(BlockingAskRefused):
        ref.ask(lambda actor: other.ask("x"), timeout=PATIENCE_S)


def test_system_exit_ends_one_actor_not_all():
    ref, other = Plain.start(), Plain.start()
    ref.tell(SystemExit())
    wait_until(lambda: not ref.is_alive(), PATIENCE_S)
    assert other.ask("alive", timeout=PATIENCE_S) == "alive"


def test_a_tell_that_is_pending_at_the_end_is_a_dead_letter(system):
    ref = system.start_child(None, ChildSpec("a", Plain, restart="temporary"))
    system.suspend(ref)
    wait_until(lambda: ref.cell.suspended, PATIENCE_S)
    ref.tell("pending")
    system.stop_child(ref)
    assert [letter.message for letter in system.dead_letters.last()] == ["pending"]


def test_an_ask_that_races_the_end_always_gets_an_answer():
    """Pykka leaves a future unset for ever when the put comes between its drain and the end of the actor."""
    for _ in range(200):
        ref = Plain.start()
        futures: list[Any] = []
        start = threading.Barrier(2)

        def ask(ref=ref, futures=futures, start=start):
            start.wait(PATIENCE_S)
            futures.extend(ref.ask("x", block=False) for _ in range(20))

        asker = threading.Thread(target=ask)
        asker.start()
        start.wait(PATIENCE_S)
        ref.stop(block=False)
        asker.join(PATIENCE_S)
        for future in futures:
            try:
                assert future.get(timeout=PATIENCE_S) == "x"
            except ActorDeadError:
                continue


def test_a_supervised_actor_is_restarted_after_a_failed_ask(system):
    ref = system.start_child(None, ChildSpec("a", Plain))
    ref.ask(lambda actor: setattr(actor, "state", "kept"), timeout=PATIENCE_S)
    with pytest.raises(ValueError, match="asked"):
        ref.ask(ValueError("asked"), timeout=PATIENCE_S)
    assert ref.ask(lambda actor: hasattr(actor, "state"), timeout=PATIENCE_S) is False


def test_only_plain_actors_stand_in_the_registry(system):
    ref = system.start_child(None, ChildSpec("a", Plain))
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_an_instance_that_was_never_started_has_no_ref():
    with pytest.raises(RuntimeError, match="has not been started"):
        Plain().actor_ref  # noqa: B018


def test_init_need_not_call_super():
    class Bare(Plain):
        def __init__(self):
            self.made = True

    assert Bare.start().ask(lambda actor: actor.made, timeout=PATIENCE_S) is True
