"""What Pykka documents, run against Pykka's own ThreadingActor and against supervision.Actor.

A difference between the two is either here as a test of its own, with the reason in supervision/README.md, or a defect.
"""

import asyncio
import threading
from types import SimpleNamespace

import pykka
import pytest

import supervision
from tests.support.waiting import wait_until

PATIENCE_S = 5.0


class PinnedActor(supervision.Actor):
    dispatcher = "pinned"


@pytest.fixture(params=["pykka", "shared", "pinned"])
def kind(request):
    actor = {"pykka": pykka.ThreadingActor, "shared": supervision.Actor, "pinned": PinnedActor}[request.param]
    yield actor
    pykka.ActorRegistry.stop_all(timeout=PATIENCE_S)


@pytest.fixture
def future_class(kind):
    return pykka.ThreadingFuture if kind is pykka.ThreadingActor else supervision.Future


@pytest.fixture
def probe(kind):  # noqa: C901 - one small branch per message it knows
    """An actor class that does what messages say and tells what happened to it."""
    seen = SimpleNamespace(events=[], failed=threading.Event(), stopped=threading.Event())

    class Nested:
        pykka_traversable = True
        inner = "inner value"

        def shout(self, word):
            return word.upper()

    class Probe(kind):  # type: ignore[valid-type,misc]
        an_attr = "an attr"

        def __init__(self, greeting="hello", *, fail_start=False, fail_stop=False):
            super().__init__()
            self.greeting = greeting
            self.nested = pykka.traversable(Nested())
            self.fail_start = fail_start
            self.fail_stop = fail_stop
            self.count = 0

        def on_start(self):
            seen.events.append("on_start")
            if self.fail_start:
                raise RuntimeError("no start")

        def on_stop(self):
            seen.events.append("on_stop")
            seen.stopped.set()
            if self.fail_stop:
                raise RuntimeError("no stop")

        def on_failure(self, exception_type, exception_value, traceback):
            seen.events.append(("on_failure", exception_type, str(exception_value), traceback is not None))
            seen.alive_in_on_failure = self.actor_ref.is_alive()
            seen.failed.set()

        def on_receive(self, message):
            seen.events.append(message)
            match message:
                case {"raise": error}:
                    raise error
                case {"reply": value}:
                    return value
                case {"stop": True}:
                    self.stop()
                    return "stopping"
                case _:
                    return super().on_receive(message)

        def add(self, left, right=1):
            return left + right

        def fails(self):
            raise KeyError("from a method")

        def bump(self):
            self.count += 1
            return self.count

        def later(self, future):
            return future

    return SimpleNamespace(cls=Probe, seen=seen)


# Starting.


def test_start_passes_arguments_to_init(probe):
    ref = probe.cls.start("good day")
    assert ref.proxy().greeting.get(timeout=PATIENCE_S) == "good day"


def test_init_error_reaches_the_caller_of_start(probe):
    with pytest.raises(TypeError):
        probe.cls.start(no_such_argument=1)


def test_on_start_runs_before_the_first_message(probe):
    ref = probe.cls.start()
    ref.ask({"reply": 1}, timeout=PATIENCE_S)
    assert probe.seen.events[0] == "on_start"


def test_on_start_error_stops_the_actor_without_further_hooks(probe):
    ref = probe.cls.start(fail_start=True)
    wait_until(lambda: not ref.is_alive(), PATIENCE_S)
    assert probe.seen.events == ["on_start"]


def test_start_enters_the_registry_and_stop_leaves_it(probe):
    ref = probe.cls.start()
    urn = ref.actor_urn
    assert pykka.ActorRegistry.get_by_urn(urn) == ref
    assert pykka.ActorRegistry.get_by_class(probe.cls) == [ref]
    assert pykka.ActorRegistry.get_by_class_name("Probe") == [ref]
    ref.stop(timeout=PATIENCE_S)
    assert pykka.ActorRegistry.get_by_urn(urn) is None


def test_urns_are_unique(probe):
    assert probe.cls.start().actor_urn != probe.cls.start().actor_urn


def test_ref_and_actor_name_class_and_urn(probe):
    ref = probe.cls.start()
    assert ref.actor_class is probe.cls
    assert "Probe" in str(ref)
    assert ref.ask({"reply": None}, timeout=PATIENCE_S) is None


def test_an_actor_needs_no_reference_to_stay_alive(probe):
    urn = probe.cls.start().actor_urn
    ref = pykka.ActorRegistry.get_by_urn(urn)
    assert ref is not None
    assert ref.ask({"reply": "here"}, timeout=PATIENCE_S) == "here"


# Tell and ask.


def test_tell_returns_nothing_and_keeps_order(probe):
    ref = probe.cls.start()
    assert ref.tell({"reply": 1}) is None
    for number in range(100):
        ref.tell({"reply": number})
    ref.ask({"reply": "end"}, timeout=PATIENCE_S)
    assert [event["reply"] for event in probe.seen.events[2:-1]] == list(range(100))


def test_ask_blocks_for_the_reply(probe):
    assert probe.cls.start().ask({"reply": 42}, timeout=PATIENCE_S) == 42


def test_ask_without_blocking_gives_a_future(probe):
    future = probe.cls.start().ask({"reply": 42}, block=False)
    assert isinstance(future, pykka.Future)
    assert future.get(timeout=PATIENCE_S) == 42


def test_ask_times_out(probe, kind, future_class):
    class Slow(kind):  # type: ignore[valid-type,misc]
        def on_receive(self, message):
            message.wait(PATIENCE_S)

    gate = threading.Event()
    ref = Slow.start()
    with pytest.raises(pykka.Timeout):
        ref.ask(gate, timeout=0.01)
    gate.set()


def test_ask_failure_reaches_the_asker_and_the_actor_lives_on(probe):
    ref = probe.cls.start()
    with pytest.raises(ValueError, match="bad"):
        ref.ask({"raise": ValueError("bad")}, timeout=PATIENCE_S)
    assert ref.is_alive()
    assert ref.ask({"reply": 1}, timeout=PATIENCE_S) == 1
    assert not probe.seen.failed.is_set()


def test_tell_failure_stops_the_actor_and_calls_on_failure(probe):
    ref = probe.cls.start()
    ref.tell({"raise": ValueError("bad")})
    assert probe.seen.failed.wait(PATIENCE_S)
    wait_until(lambda: not ref.is_alive(), PATIENCE_S)
    assert ("on_failure", ValueError, "bad", True) in probe.seen.events
    assert "on_stop" not in probe.seen.events
    assert probe.seen.alive_in_on_failure is False


def test_asks_queued_behind_a_failure_are_answered_with_actor_dead(probe):
    ref = probe.cls.start()
    gate = threading.Event()
    holder = ref.proxy()
    holder.on_receive.defer({"reply": gate})
    ref.tell({"raise": ValueError("bad")})
    pending = ref.ask({"reply": 1}, block=False)
    with pytest.raises(pykka.ActorDeadError):
        pending.get(timeout=PATIENCE_S)


def test_unexpected_message_is_logged_and_answered_with_none(probe, caplog):
    assert probe.cls.start().ask({"unknown": 1}, timeout=PATIENCE_S) is None
    assert "Unexpected message received" in caplog.text


@pytest.mark.parametrize("message", [None, 0, "", (), [], object])
def test_any_object_is_a_message(kind, message):
    class Echo(kind):  # type: ignore[valid-type,misc]
        def on_receive(self, message):
            return message

    assert Echo.start().ask(message, timeout=PATIENCE_S) is message


def test_messages_pass_by_reference(probe):
    marker = object()
    assert probe.cls.start().ask({"reply": marker}, timeout=PATIENCE_S) is marker


# Stopping.


def test_stop_handles_what_was_sent_before(probe):
    ref = probe.cls.start()
    for number in range(10):
        ref.tell({"reply": number})
    assert ref.stop(timeout=PATIENCE_S) is True
    assert len([event for event in probe.seen.events if isinstance(event, dict)]) == 10
    assert probe.seen.events[-1] == "on_stop"
    assert not ref.is_alive()


def test_stop_without_blocking_gives_a_future(probe):
    future = probe.cls.start().stop(block=False)
    assert future.get(timeout=PATIENCE_S) is True


def test_stopping_a_dead_actor_says_false(probe):
    ref = probe.cls.start()
    ref.stop(timeout=PATIENCE_S)
    assert ref.stop(timeout=PATIENCE_S) is False


def test_two_stops_at_once_are_both_answered(probe):
    ref = probe.cls.start()
    first, second = ref.stop(block=False), ref.stop(block=False)
    assert first.get(timeout=PATIENCE_S) is True
    assert second.get(timeout=PATIENCE_S) in (True, False)


def test_an_actor_can_stop_itself(probe):
    ref = probe.cls.start()
    assert ref.ask({"stop": True}, timeout=PATIENCE_S) == "stopping"
    assert probe.seen.stopped.wait(PATIENCE_S)
    wait_until(lambda: not ref.is_alive(), PATIENCE_S)


def test_on_stop_error_is_contained(probe):
    ref = probe.cls.start(fail_stop=True)
    assert ref.stop(timeout=PATIENCE_S) is True
    assert not ref.is_alive()


def test_tell_to_a_dead_actor_raises(probe):
    ref = probe.cls.start()
    ref.stop(timeout=PATIENCE_S)
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.tell({"reply": 1})


def test_ask_to_a_dead_actor_raises_or_fails_the_future(probe):
    ref = probe.cls.start()
    ref.stop(timeout=PATIENCE_S)
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.ask({"reply": 1}, timeout=PATIENCE_S)
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.ask({"reply": 1}, block=False).get(timeout=PATIENCE_S)


def test_proxy_of_a_dead_actor_raises(probe):
    ref = probe.cls.start()
    ref.stop(timeout=PATIENCE_S)
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_stop_all_stops_in_reverse_order_of_start(kind):
    order = []

    class Named(kind):  # type: ignore[valid-type,misc]
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_stop(self):
            order.append(self.name)

    for name in "abc":
        Named.start(name)
    assert pykka.ActorRegistry.stop_all(timeout=PATIENCE_S) == [True, True, True]
    assert order == ["c", "b", "a"]


def test_actor_stopped_event_follows_the_life(probe):
    ref = probe.cls.start()
    event = ref.actor_stopped
    assert not event.is_set()
    ref.stop(timeout=PATIENCE_S)
    assert event.wait(PATIENCE_S)


# Broadcast.


def test_broadcast_reaches_actors_of_a_class(probe, kind):
    class Other(kind):  # type: ignore[valid-type,misc]
        pass

    first, second, other = probe.cls.start(), probe.cls.start(), Other.start()
    pykka.ActorRegistry.broadcast({"reply": "all"}, target_class=probe.cls)
    first.ask({"reply": 0}, timeout=PATIENCE_S)
    second.ask({"reply": 0}, timeout=PATIENCE_S)
    assert probe.seen.events.count({"reply": "all"}) == 2
    assert other.is_alive()


# Proxies.


def test_proxy_calls_methods_and_reads_and_sets_attributes(probe):
    proxy = probe.cls.start().proxy()
    assert proxy.an_attr.get(timeout=PATIENCE_S) == "an attr"
    assert proxy.add(1, right=2).get(timeout=PATIENCE_S) == 3
    proxy.an_attr = "changed"
    assert proxy.an_attr.get(timeout=PATIENCE_S) == "changed"


def test_proxy_sees_attributes_that_appear_later(probe):
    proxy = probe.cls.start().proxy()
    proxy.fresh = 7
    assert proxy.fresh.get(timeout=PATIENCE_S) == 7


def test_proxy_hides_private_and_unknown_attributes(probe):
    proxy = probe.cls.start().proxy()
    with pytest.raises(AttributeError):
        proxy.no_such_thing  # noqa: B018
    assert "add" in dir(proxy)
    assert "_cell" not in proxy._known_attrs


def test_proxy_reaches_traversable_attributes(probe):
    proxy = probe.cls.start().proxy()
    assert proxy.nested.inner.get(timeout=PATIENCE_S) == "inner value"
    assert proxy.nested.shout("quiet").get(timeout=PATIENCE_S) == "QUIET"


def test_proxy_method_error_reaches_the_future(probe):
    ref = probe.cls.start()
    with pytest.raises(KeyError, match="from a method"):
        ref.proxy().fails().get(timeout=PATIENCE_S)
    assert ref.is_alive()


def test_deferred_proxy_call_is_a_tell(probe):
    ref = probe.cls.start()
    assert ref.proxy().bump.defer() is None
    assert ref.proxy().count.get(timeout=PATIENCE_S) == 1
    ref.proxy().fails.defer()
    assert probe.seen.failed.wait(PATIENCE_S)


def test_proxies_of_one_actor_are_equal(probe):
    ref = probe.cls.start()
    assert ref.proxy() == ref.proxy()
    assert hash(ref.proxy()) == hash(ref.proxy())
    assert ref.proxy() != probe.cls.start().proxy()


def test_a_method_may_return_a_future(probe, future_class):
    proxy = probe.cls.start().proxy()
    inner = future_class()
    inner.set("inside")
    assert proxy.later(inner).get(timeout=PATIENCE_S).get(timeout=PATIENCE_S) == "inside"


# Futures.


def test_future_set_and_get(future_class):
    future = future_class()
    future.set("x")
    assert future.get(timeout=0) == "x"
    assert future.get() == "x"


def test_future_can_be_set_only_once(future_class):
    future = future_class()
    future.set(1)
    with pytest.raises(Exception):  # noqa: B017, PT011 - Pykka promises only "an exception"
        future.set(2)
    with pytest.raises(Exception):  # noqa: B017, PT011
        future.set_get_hook(lambda timeout: 3)


def test_future_get_times_out(future_class):
    with pytest.raises(pykka.Timeout, match="seconds"):
        future_class().get(timeout=0.01)


def test_future_raises_its_exception_each_time(future_class):
    future = future_class()
    try:
        raise ValueError("kept")
    except ValueError:
        future.set_exception()
    for _ in range(2):
        with pytest.raises(ValueError, match="kept"):
            future.get(timeout=0)


def test_future_takes_exc_info_with_only_a_class(future_class):
    future = future_class()
    future.set_exception((KeyError, None, None))
    with pytest.raises(KeyError):
        future.get(timeout=0)


def test_get_hook_runs_once_with_the_timeout(future_class):
    asked = []
    future = future_class()

    def hook(timeout):
        asked.append(timeout)
        return "hooked"

    future.set_get_hook(hook)
    assert future.get(timeout=3) == "hooked"
    assert future.get() == "hooked"
    assert asked == [3]
    with pytest.raises(Exception):  # noqa: B017, PT011
        future.set("other")


def test_future_map_filter_join_reduce(future_class):
    numbers, word = future_class(), future_class()
    mapped = numbers.map(lambda values: [value * 2 for value in values])
    kept = numbers.filter(lambda value: value > 1)
    summed = numbers.reduce(lambda left, right: left + right, 10)
    joined = numbers.join(word)
    assert repr(mapped) == "<pykka.Future>"
    numbers.set([1, 2, 3])
    word.set("w")
    assert mapped.get(timeout=0) == [2, 4, 6]
    assert kept.get(timeout=0) == [2, 3]
    assert summed.get(timeout=0) == 16
    assert joined.get(timeout=0) == [[1, 2, 3], "w"]


def test_map_of_a_failed_future_fails(future_class):
    future = future_class()
    future.set_exception((ValueError, ValueError("deep"), None))
    with pytest.raises(ValueError, match="deep"):
        future.map(str).get(timeout=0)


def test_filter_of_no_iterable_is_a_type_error(future_class):
    future = future_class()
    future.set(1)
    with pytest.raises(TypeError):
        future.filter(bool).get(timeout=0)


def test_get_all_collects(probe):
    proxies = [probe.cls.start(str(number)).proxy() for number in range(3)]
    assert list(pykka.get_all([proxy.greeting for proxy in proxies], timeout=PATIENCE_S)) == ["0", "1", "2"]


def test_future_can_be_awaited(probe):
    ref = probe.cls.start()

    async def ask():
        return await ref.ask({"reply": "awaited"}, block=False)

    assert asyncio.run(ask()) == "awaited"


def test_awaited_error_is_raised(probe):
    ref = probe.cls.start()

    async def ask():
        await ref.ask({"raise": LookupError("gone")}, block=False)

    with pytest.raises(LookupError):
        asyncio.run(ask())
