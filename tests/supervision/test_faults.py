"""A child that fails in every way a child can fail, on real threads.

The semantics table in supervision/README.md says the same.
"""

import threading
from functools import partial
from typing import Any

import pytest

from supervision import (
    NO_BACKOFF,
    Actor,
    ActorDeadError,
    ActorStartFailed,
    AskDeadlock,
    Backoff,
    BlockingAskRefused,
    Budget,
    BudgetExhausted,
    ChildSpec,
    DependencyUnavailable,
    FailureKind,
    MailboxFull,
    PoisonMessage,
    PoisonPolicy,
    Supervisor,
    Terminated,
    supervisor,
)
from tests.supervision.looking import at
from tests.support.waiting import wait_until

PATIENCE_S = 5.0


class Child(Actor):
    """Does what the message says; `log` outlives its restarts."""

    def __init__(self, log, *, fail=""):
        super().__init__()
        self.log = log
        self.fail = fail
        self.log.append("init")
        if fail == "init":
            raise RuntimeError("init")

    def on_start(self):
        self.log.append("start")
        if self.fail == "on_start":
            raise RuntimeError("on_start")

    def on_stop(self):
        self.log.append("stop")
        if self.fail == "on_stop":
            raise RuntimeError("on_stop")

    def on_failure(self, exception_type, exception_value, traceback):
        self.log.append("failure")

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            return message(self)
        self.log.append(message)
        return message


class PinnedChild(Child):
    dispatcher = "pinned"


def spec_of(log, **options):
    options.setdefault("backoff", NO_BACKOFF)
    actor = options.pop("actor", Child)
    fail = options.pop("fail", "")
    return ChildSpec("child", lambda: actor(log, fail=fail), **options)


@pytest.fixture
def log():
    return []


# Start.


@pytest.mark.parametrize("phase", ["init", "on_start"])
def test_a_child_that_cannot_start_is_refused_with_its_cause_and_leaves_nothing(system, log, phase):
    with pytest.raises(ActorStartFailed, match=phase) as refusal:
        system.start_child(None, spec_of(log, fail=phase))
    assert str(refusal.value.__cause__) == phase
    wait_until(lambda: system.ref("child") is None, PATIENCE_S)
    assert system.start_child(None, spec_of(log)).is_alive()


def test_a_supervisor_whose_child_cannot_start_stops_the_others_in_reverse_and_is_refused(system):
    events = []

    class Sibling(Actor):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_start(self):
            if self.name == "c":
                raise RuntimeError("no c")
            events.append(f"+{self.name}")

        def on_stop(self):
            events.append(f"-{self.name}")

    children = [ChildSpec(name, partial(Sibling, name)) for name in "abc"]
    with pytest.raises(ActorStartFailed) as refusal:
        system.start_child(None, supervisor("core", children))
    assert events == ["+a", "+b", "-b", "-a"]
    assert refusal.value.__cause__ is not None
    assert str(refusal.value.__cause__.__cause__) == "no c"


def test_a_restart_that_fails_is_tried_again_and_charged_each_time(system, log):
    attempts = []

    def factory():
        attempts.append(1)
        return Child(log, fail="on_start" if len(attempts) in (2, 3) else "")

    ref = system.start_child(None, ChildSpec("child", factory, backoff=NO_BACKOFF, budget=Budget(3, 5.0)))
    ref.tell(ValueError("first"))
    assert ref.ask("after", timeout=PATIENCE_S) == "after"
    assert len(attempts) == 4
    assert at(system, "child").cell.restarts == 3


# Messages.


def test_the_kth_message_fails_and_only_that_message_is_lost_to_sight(system, log):
    ref = system.start_child(None, spec_of(log))
    for message in ("a", ValueError("boom"), "b"):
        ref.tell(message)
    assert ref.ask("c", timeout=PATIENCE_S) == "c"
    assert log == ["init", "start", "a", "failure", "init", "start", "b", "c"]
    assert [str(letter.error) for letter in system.dead_letters.last()] == ["boom"]
    assert system.account().error == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError()])
def test_no_exception_stops_another_actor(system, log, error):
    other = system.start_child(None, ChildSpec("other", lambda: Child([])))
    ref = system.start_child(None, spec_of(log))
    ref.tell(error)
    assert ref.ask("alive", timeout=PATIENCE_S) == "alive"
    assert other.ask("alive", timeout=PATIENCE_S) == "alive"
    assert at(system, "other").cell.restarts == 0


def test_a_failed_ask_is_a_failure_that_supervision_sees(system, log):
    ref = system.start_child(None, spec_of(log))
    with pytest.raises(ValueError, match="asked"):
        ref.ask(ValueError("asked"), timeout=PATIENCE_S)
    assert ref.ask("next", timeout=PATIENCE_S) == "next"
    assert log.count("init") == 2
    assert system.account().error == 0


def test_a_failing_message_is_retried_while_the_lane_waits_then_parked(system, log):
    parked = []

    def park(name, message, failure):
        parked.append((name, message["n"], failure.attempts, failure.kind))

    class Picky(Child):
        def on_receive(self, message):
            self.log.append(message["n"])
            if message["n"] == 1:
                raise ValueError("always")

    policy = PoisonPolicy(retries=2, park=park)
    ref = system.start_child(None, spec_of(log, actor=Picky, poison=policy, budget=Budget(10, 5.0)))
    for number in range(3):
        ref.tell({"n": number})
    wait_until(lambda: 2 in log, PATIENCE_S)
    assert [entry for entry in log if isinstance(entry, int)] == [0, 1, 1, 1, 2]
    assert parked == [("child", 1, 3, "bug")]
    assert system.dead_letters.total == 0
    assert system.account().parked == 1


def test_a_message_whose_park_fails_is_a_dead_letter(system, log):
    def park(name, message, failure):
        raise OSError("the table is away")

    ref = system.start_child(None, spec_of(log, poison=PoisonPolicy(park=park)))
    ref.tell(ValueError("boom"))
    ref.ask("after", timeout=PATIENCE_S)
    assert system.dead_letters.total == 1


def test_poison_costs_no_restart(system, log):
    ref = system.start_child(None, spec_of(log, budget=Budget(0, 5.0)))
    ref.tell(PoisonMessage("bad input"))
    assert ref.ask("after", timeout=PATIENCE_S) == "after"
    assert log == ["init", "start", "after"]
    assert system.dead_letters.counts["failed"] == 1


def test_a_dependency_failure_keeps_state_and_message_and_tries_again(system, log):
    class Flaky(Child):
        tries = 0

        def on_receive(self, message):
            self.tries += 1
            self.log.append((message, self.tries))
            if message == "pay" and self.tries < 3:
                raise DependencyUnavailable("database")
            return self.tries

    quick = PoisonPolicy(backoff=Backoff(0.01, 0.02))
    ref = system.start_child(None, spec_of(log, actor=Flaky, poison=quick, budget=Budget(0, 5.0)))
    ref.tell("pay")
    assert ref.ask("next", timeout=PATIENCE_S) == 4
    assert log == ["init", "start", ("pay", 1), ("pay", 2), ("pay", 3), ("next", 4)]
    assert system.dead_letters.total == 0


def test_dependency_retries_can_be_limited(system, log):
    policy = PoisonPolicy(dependency_retries=2, backoff=Backoff(0.001, 0.001))
    ref = system.start_child(None, spec_of(log, poison=policy))
    ref.tell(DependencyUnavailable("gone"))
    assert ref.ask("after", timeout=PATIENCE_S) == "after"
    letter = system.dead_letters.last()[0]
    assert isinstance(letter.error, DependencyUnavailable)


def test_classify_sorts_foreign_exceptions(system, log):
    def classify(error):
        return FailureKind.POISON if isinstance(error, KeyError) else FailureKind.BUG

    ref = system.start_child(None, spec_of(log, classify=classify))
    ref.tell(KeyError("field"))
    ref.tell(ValueError("bug"))
    ref.ask("after", timeout=PATIENCE_S)
    assert log.count("init") == 2


# Stop.


def test_on_stop_that_fails_does_not_keep_the_child(system, log):
    ref = system.start_child(None, spec_of(log, fail="on_stop"))
    system.stop_child(ref)
    assert not ref.is_alive()
    assert system.ref("child") is None


def test_stop_drains_what_is_queued(system, log):
    ref = system.start_child(None, spec_of(log))
    for number in range(100):
        ref.tell(number)
    system.stop_child(ref)
    assert log == ["init", "start", *range(100), "stop"]


def test_a_child_without_drain_gives_up_its_queue_to_the_dead_letters(system, log):
    gate = threading.Event()
    entered = threading.Event()

    def block(child):
        entered.set()
        gate.wait(PATIENCE_S)

    ref = system.start_child(None, spec_of(log, actor=PinnedChild, drain=False))
    ref.tell(block)
    ref.tell("never")
    pending = ref.ask("nor this", block=False)
    assert entered.wait(PATIENCE_S)
    stopper = threading.Thread(target=system.stop_child, args=(ref,))
    stopper.start()
    wait_until(lambda: ref.cell.control, PATIENCE_S)
    gate.set()
    stopper.join(PATIENCE_S)
    with pytest.raises(ActorDeadError):
        pending.get(timeout=PATIENCE_S)
    assert system.dead_letters.counts["stopped"] == 2
    assert "never" not in log
    assert system.account().error == 0


def test_stopping_a_full_child_neither_blocks_nor_deadlocks(system, log):
    gate = threading.Event()
    ref = system.start_child(None, spec_of(log, actor=PinnedChild, mailbox_limit=2))
    ref.tell(lambda child: gate.wait(PATIENCE_S))
    wait_until(lambda: ref.cell.current is not None, PATIENCE_S)
    ref.tell("one")
    ref.tell("two")
    with pytest.raises(MailboxFull, match="holds 2 messages"):
        ref.tell("three")
    with pytest.raises(MailboxFull):
        ref.ask("four", block=False)
    stopping = ref.stop(block=False)
    gate.set()
    assert stopping.get(timeout=PATIENCE_S) is True
    assert log[2:4] == ["one", "two"]
    account = system.account()
    assert (account.error, account.refused) == (0, 2)


# Slow and stuck.


def test_a_child_stuck_in_a_turn_is_abandoned_at_its_deadline_and_the_rest_stops(system, log):
    gate = threading.Event()
    entered = threading.Event()

    def hang(child):
        entered.set()
        gate.wait(30)

    ref = system.start_child(None, spec_of(log, actor=PinnedChild, stop_timeout_s=0.05))
    ref.tell(hang)
    ref.tell("waiting")
    assert entered.wait(PATIENCE_S)
    system.stop_child(ref)
    assert not ref.is_alive()
    assert system.dead_letters.counts["abandoned"] == 2
    gate.set()
    wait_until(lambda: system.account().error == 0, PATIENCE_S)


def test_a_stuck_child_can_be_restarted_with_the_same_ref_and_mailbox(system, log):
    gate = threading.Event()
    entered = threading.Event()

    def hang(child):
        entered.set()
        gate.wait(30)
        return "too late"

    ref = system.start_child(None, spec_of(log, actor=PinnedChild, stop_timeout_s=0.05))
    lost = ref.ask(hang, block=False)
    ref.tell("waiting")
    assert entered.wait(PATIENCE_S)
    system.restart(ref)
    wait_until(lambda: "waiting" in log, PATIENCE_S)
    with pytest.raises(ActorDeadError, match="stuck"):
        lost.get(timeout=PATIENCE_S)
    assert log.count("init") == 2
    gate.set()
    assert ref.ask("more", timeout=PATIENCE_S) == "more"
    assert system.account().error == 0


def test_a_stuck_actor_on_the_shared_dispatcher_does_not_hold_up_the_others(make_system, log):
    system = make_system("stuck", stuck_s=0.1)
    gate = threading.Event()
    ref = system.start_child(None, spec_of(log))
    other = system.start_child(None, ChildSpec("other", lambda: Child([])))
    ref.tell(lambda child: gate.wait(30))
    assert other.ask("alive", timeout=PATIENCE_S) == "alive"
    gate.set()
    wait_until(
        lambda: [one.path for one in system.vitals.incidents() if one.kind == "stuck"] == ["child"],
        PATIENCE_S,
    )
    assert ref.ask("back", timeout=PATIENCE_S) == "back"


def test_waiting_on_the_shared_dispatcher_is_refused(system, log):
    other = system.start_child(None, ChildSpec("other", lambda: Child([])))
    ref = system.start_child(None, spec_of(log))
    with pytest.raises(BlockingAskRefused, match="pipe_to_self"):
        ref.ask(lambda child: other.ask("x"), timeout=PATIENCE_S)


def test_asks_in_a_circle_are_refused_before_they_deadlock(system):
    refs: dict[str, Any] = {}

    class Asker(Actor):
        dispatcher = "pinned"

        def on_receive(self, message):
            return refs[message[0]].ask(message[1:], timeout=PATIENCE_S) if message else "end"

    for name in "abc":
        refs[name] = system.start_child(None, ChildSpec(name, Asker))
    assert refs["a"].ask("bc", timeout=PATIENCE_S) == "end"
    with pytest.raises(AskDeadlock, match="c -> a -> b -> c"):
        refs["a"].ask("bca", timeout=PATIENCE_S)


# Budgets and escalation.


def test_a_child_beyond_its_budget_takes_the_supervisor_down_and_up_again(system):
    log: list[Any] = []
    core = system.start_child(
        None,
        supervisor(
            "core",
            [
                ChildSpec("bad", lambda: Child(log), budget=Budget(2, 60.0), backoff=NO_BACKOFF),
                ChildSpec("good", lambda: Child([])),
            ],
        ),
    )
    bad, good = at(system, "core/bad"), at(system, "core/good")
    for _ in range(3):
        bad.tell(ValueError("again"))
    bad.tell("kept")
    wait_until(lambda: "kept" in log, PATIENCE_S)
    assert core.is_alive()
    assert system.ref("core/bad") is bad
    assert system.ref("core/good") is good
    assert good.ask("fine", timeout=PATIENCE_S) == "fine"
    assert log.count("init") == 4
    assert system.vitals.counts["Supervisor", "escalated"] == 1


def test_the_roots_failure_is_reported_with_its_cause(make_system):
    system = make_system("esc", budget=Budget(1, 60.0))
    failures: list[Any] = []
    system.on_escalation(failures.append)
    ref = system.start_child(None, ChildSpec("bad", lambda: Child([]), backoff=NO_BACKOFF))
    ref.tell(ValueError("one"))
    ref.tell(ValueError("two"))
    wait_until(lambda: failures, PATIENCE_S)
    assert isinstance(failures[0].error, BudgetExhausted)
    assert str(failures[0].error.__cause__) == "two"


# Restart words.


@pytest.mark.parametrize(
    ("word", "after_failure", "after_exit"),
    [("permanent", True, True), ("transient", True, False), ("temporary", False, False)],
)
def test_restart_words(system, word, after_failure, after_exit):
    failing = system.start_child(
        None, ChildSpec("failing", lambda: Child([]), restart=word, backoff=NO_BACKOFF)
    )
    leaving = system.start_child(
        None, ChildSpec("leaving", lambda: Child([]), restart=word, backoff=NO_BACKOFF)
    )
    failing.tell(ValueError("boom"))
    leaving.tell(lambda child: child.stop())
    for ref, comes_back in ((failing, after_failure), (leaving, after_exit)):
        if comes_back:
            wait_until(partial(_restarted_once, ref), PATIENCE_S)
            assert ref.ask("back", timeout=PATIENCE_S) == "back"
        else:
            wait_until(partial(_is_gone, ref), PATIENCE_S)


def _restarted_once(ref):
    return ref.cell.restarts == 1


def _is_gone(ref):
    return not ref.is_alive()


# Watching.


def test_watching_tells_the_end_once_and_late_watchers_at_once(system, log):
    class Watcher(Child):
        def on_receive(self, message):
            if isinstance(message, Terminated):
                self.log.append(message)
            else:
                self.context.watch(message)

    ref = system.start_child(None, ChildSpec("watched", lambda: Child([]), restart="transient"))
    early = system.start_child(None, ChildSpec("early", lambda: Watcher(log)))
    early.tell(ref)
    ref.tell(ValueError("a restart is not an end"))
    ref.ask("still here", timeout=PATIENCE_S)
    assert not [entry for entry in log if isinstance(entry, Terminated)]
    ref.stop(timeout=PATIENCE_S)
    wait_until(lambda: Terminated(ref, "normal") in log, PATIENCE_S)
    late = system.start_child(None, ChildSpec("late", lambda: Watcher(log)))
    late.tell(ref)
    wait_until(lambda: Terminated(ref, "gone") in log, PATIENCE_S)


# Batches.


def test_a_bad_message_in_a_batch_is_found_and_the_others_are_handled(system):
    seen, sizes = [], []

    class Batcher(Actor):
        dispatcher = "pinned"
        batch_max = 64

        def on_batch(self, messages):
            sizes.append(len(messages))
            if "bad" in messages:
                raise ValueError("one of these")
            seen.extend(messages)

    gate = threading.Event()

    def opening(self, messages):
        gate.wait(PATIENCE_S)

    class Gated(Batcher):
        def on_batch(self, messages):
            if messages == ["gate"]:
                return opening(self, messages)
            return super().on_batch(messages)

    ref = system.start_child(None, ChildSpec("batch", Gated, backoff=NO_BACKOFF, budget=Budget(5, 60.0)))
    ref.tell("gate")
    wait_until(lambda: ref.cell.current is not None, PATIENCE_S)
    for message in (1, 2, "bad", 3, 4):
        ref.tell(message)
    gate.set()
    wait_until(lambda: seen == [1, 2, 3, 4], PATIENCE_S)
    assert sizes[0] == 5
    assert [letter.message for letter in system.dead_letters.last()] == ["bad"]
    assert system.account().error == 0


def test_a_batch_waits_whole_for_its_dependency_and_comes_in_order(system):
    seen = []

    class Batcher(Actor):
        dispatcher = "pinned"
        batch_max = 64
        tries = 0

        def on_batch(self, messages):
            self.tries += 1
            if self.tries < 4:
                raise DependencyUnavailable("database")
            seen.extend(messages)

    policy = PoisonPolicy(backoff=Backoff(0.01, 0.01))
    ref = system.start_child(None, ChildSpec("batch", Batcher, poison=policy))
    for number in range(10):
        ref.tell(number)
    wait_until(lambda: seen == list(range(10)), PATIENCE_S)


def test_the_asks_of_a_batch_get_their_own_replies(system):
    class Doubler(Actor):
        batch_max = 8

        def on_batch(self, messages):
            return [message * 2 for message in messages]

    ref = system.start_child(None, ChildSpec("batch", Doubler))
    futures = [ref.ask(number, block=False) for number in range(20)]
    assert [future.get(timeout=PATIENCE_S) for future in futures] == [number * 2 for number in range(20)]
    assert ref.stop(block=False).get(timeout=PATIENCE_S) is True


def test_supervisors_nest(system):
    spec = supervisor("a", [supervisor("b", [ChildSpec("c", lambda: Child([]))])])
    system.start_child(None, spec)
    assert at(system, "a/b/c").ask("deep", timeout=PATIENCE_S) == "deep"
    assert system.ref("a/b/nobody") is None
    assert isinstance(
        system.inspect(system.ref("a/b"), lambda actor: actor).get(timeout=PATIENCE_S), Supervisor
    )
