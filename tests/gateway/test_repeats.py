"""The brake for storms: the rule, and that both ways of a webhook through the server know it."""

import time
from heapq import heappop, heappush
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.protocol.outcome import Outcome, Settled
from gateway.limits import GatewayLimits
from gateway.webhooks.repeats import KEPT_MAX, RepeatBrake
from tests.gateway.support import RecordingIntake
from tests.gateway.test_whole_webhooks import good, hand, request

STORM, OTHER = UUID(int=1), UUID(int=2)


@given(connections=st.integers(1, 60), per_s=st.integers(10, 2_000), burst=st.integers(1, 300))
def test_a_few_connections_get_so_many_answers_and_no_more(connections, per_s, burst):
    """Each asks again as soon as it is answered, for two seconds, and somebody else now and then."""
    brake = RepeatBrake(per_s, burst, pause_max_s=10.0)
    asking = [(0.0, number) for number in range(connections)]
    answered, other_s = 0, 0.0
    while asking[0][0] < 2.0:
        now_s, number = heappop(asking)
        if now_s >= other_s:
            assert brake.pause_s(OTHER, now_s) == 0
            other_s = now_s + 0.5
        answered_s = now_s + brake.pause_s(STORM, now_s)
        answered += answered_s <= 2.0
        heappush(asking, (answered_s + 0.0001, number))
    assert answered <= burst + per_s * 2 + 1
    # as many as were ready to ask for: the pause is no longer than it has to be
    assert answered >= min(burst + per_s * 2 - connections - 1, connections * 100)


@given(st.lists(st.tuples(st.floats(0, 0.01), st.booleans()), max_size=400))
def test_nobody_waits_for_another_purchase_or_longer_than_the_longest_pause(asked):
    brake, now_s = RepeatBrake(per_s=50, burst=5, pause_max_s=0.25), 0.0
    last_s = float("-inf")
    for later_s, is_other in asked:
        now_s += later_s
        if is_other:
            if now_s - last_s >= 1:
                assert brake.pause_s(OTHER, now_s) == 0
                last_s = now_s
        else:
            assert 0 <= brake.pause_s(STORM, now_s) <= 0.25


def test_a_storm_alone_is_served_as_fast_as_it_asks_until_somebody_else_comes():
    brake = RepeatBrake(per_s=500, burst=1_000, pause_max_s=0.25)
    asked = [number / 4_000 for number in range(20_000)]
    paused = [now_s for now_s in asked if brake.pause_s(STORM, now_s)]
    # the burst lasts for 0.29 s, and for a second after it the storm's own beginning looks like somebody else
    assert 0.25 < paused[0] < 0.3
    assert paused[-1] < 1.3
    assert brake.pause_s(OTHER, 5.0) == 0
    assert brake.pause_s(STORM, 5.1) > 0


def test_one_connection_for_each_duplicate_piles_up_no_more_than_a_pause_holds():
    brake = RepeatBrake(per_s=1_000, burst=100, pause_max_s=0.25)
    pauses = [brake.pause_s(STORM, 0.0) for _ in range(10_000)]
    assert sum(pause > 0 for pause in pauses) <= 251


def test_what_it_remembers_is_bounded():
    brake = RepeatBrake(per_s=1, burst=1, pause_max_s=0.25)
    for number in range(3 * KEPT_MAX):
        brake.pause_s(UUID(int=number), 0.0)
        assert len(brake._due_s) <= KEPT_MAX
    storm = [brake.pause_s(STORM, 5.0) for _ in range(2)]
    for number in range(3 * KEPT_MAX):
        brake.pause_s(UUID(int=number + 10), 10.0 + number)
        assert len(brake._due_s) <= KEPT_MAX
    assert storm == [0.0, 0.0]


@pytest.mark.parametrize("whole", [True, False])
def test_a_webhook_that_comes_too_often_waits_for_its_answer_and_no_other(redis_url, whole):
    intake = RecordingIntake()
    limits = GatewayLimits(
        webhook_repeats_per_s=2, webhook_repeats_burst=2, webhook_repeat_pause_s=1, ping_s=60
    )

    def ask(purchase: UUID | None, outcome: Outcome = Outcome.EXISTS) -> float:
        intake.settled = Settled(outcome, purchase)
        sent = request(good())
        began_s = time.monotonic()
        client.send(*([sent] if whole else [sent[:-1], sent[-1:]]))
        assert client.answer()[0] == (503 if outcome is Outcome.REFUSED else 200)
        return time.monotonic() - began_s

    with hand(redis_url, intake=intake, limits=limits) as client:
        waits = []
        while not spaced(client.gateway):
            waits.append(ask(STORM))
        assert spaced(client.gateway) == 1
        assert waits[-1] > max(waits[:-1])
        ask(OTHER)
        for _ in range(4):
            ask(None)
            ask(OTHER, Outcome.REFUSED)
        assert spaced(client.gateway) == 1
        assert client.gateway.door.webhooks_in_flight == 0


def spaced(gateway) -> float:
    return gateway.registry.get_sample_value("kcactors_webhook_spaced_total", {"provider": "kc"}) or 0
