"""The small pure parts, and the tables against their fixtures."""

import asyncio
import json
import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import origin_allowed
from gateway.allowance import Allowance
from gateway.bridge import Bridge
from gateway.closing import CLOSE_TABLE
from gateway.frames import BadFrame, UnknownType, read_frame
from gateway.resume import LogState, Position, reset_reason
from gateway.wheel import Wheel

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kc_v1"
RESUME = json.loads((FIXTURES / "resume.json").read_text())["cases"]
CODES = json.loads((FIXTURES / "close_codes.json").read_text())["codes"]


@pytest.mark.parametrize(
    "case", [c for c in RESUME if c["since"] and "close" not in c["expect"]], ids=lambda c: c["name"]
)
def test_the_resume_table(case):
    log, since, expect = case["log"], case["since"], case["expect"]
    reason = reset_reason(Position(since.get("epoch", ""), since["seq"]), LogState(**log), 500)
    assert (reason.value if reason else None) == expect.get("reason")


@given(
    head=st.integers(0, 50),
    kept=st.integers(0, 50),
    seq=st.integers(0, 60),
    most=st.none() | st.integers(0, 20),
)
def test_a_cursor_that_goes_on_finds_every_event_kept(head, kept, seq, most):
    oldest = max(1, head - kept + 1)
    reason = reset_reason(Position("e", seq), LogState("e", head, oldest), most)
    missing = set(range(seq + 1, head + 1)) - set(range(oldest, head + 1))
    good = seq <= head and not missing and (most is None or head - seq <= most)
    assert (reason is None) is good


def test_the_close_table_is_the_fixture():
    table = [msgspec.to_builtins(row) for row in CLOSE_TABLE]
    assert table == CODES
    for row in CODES:
        assert (row["code"] >= 4500) is (row["client"] in {"stop", "refresh_once"})


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "verdict"),
    [
        (None, "a.example", [], True),
        ("https://a.example", "a.example", [], True),
        ("https://A.example:443", "a.example", [], True),
        ("http://a.example", "a.example:80", [], True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", [], True),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", [], False),
        ("https://a.example.evil", "a.example", [], False),
        ("https://evil-a.example", "a.example", [], False),
        ("https://sub.a.example", "a.example", [], False),
        ("null", "a.example", [], False),
        ("", "a.example", [], False),
        ("https://a.example:x", "a.example", [], False),
        ("https://[", "a.example", [], False),
        ("file://", "", [], False),
        ("https://app.example", "a.example", ["https://app.example"], True),
        ("https://a.example", "a.example", ["https://app.example"], False),
        ("http://app.example", "a.example", ["https://app.example"], False),
        ("https://app.example/", "a.example", ["https://app.example"], False),
    ],
)
def test_the_origin_rule(origin, host, allowed, verdict):
    assert origin_allowed(origin, host, allowed) is verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        '"connect"',
        "{}",
        '{"type":1}',
        '{"type":null}',
        '{"type":"ack"}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":9007199254740992}',
        '{"type":"connect","since":{"epoch":"e1","seq":1e3}}',
        '{"type":"connect","token":7}',
        '{"type":"refresh"}',
        '{"type":"connect","x":"\ud800"}',
        '{"type":"connect","x":"\\ud800"}',
        '{"type":"connect","x":' + "[" * 5000 + "]" * 5000 + "}",
        '{"type":"later","x":' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
def test_a_frame_that_is_none(text):
    with pytest.raises(BadFrame) as refused:
        read_frame(text)
    assert not isinstance(refused.value, UnknownType)


def test_a_frame_of_another_time_is_not_an_offence():
    with pytest.raises(UnknownType):
        read_frame('{"type":"presence","seq":1}')


@given(st.text() | st.binary().map(lambda b: b.decode("utf-8", "surrogateescape")))
def test_no_text_breaks_the_reader(text):
    with pytest.raises(BadFrame):
        read_frame(text)


def test_an_allowance_is_spent_and_grows_back():
    allowance = Allowance(2, 4.0, now=0.0)
    assert [allowance.spend(0.0) for _ in range(3)] == [True, True, False]
    assert allowance.wait_s() == pytest.approx(0.25)
    assert not allowance.spend(0.2)
    assert allowance.spend(0.25)
    assert [allowance.spend(100.0) for _ in range(3)] == [True, True, False]


def test_an_allowance_is_given_in_advance_in_the_order_of_asking():
    allowance = Allowance(2, 4.0, now=0.0)
    assert [allowance.reserve(0.0, 0.5) for _ in range(5)] == [0.0, 0.0, 0.25, 0.5, None]
    assert not allowance.spend(0.5), "what was given in advance is gone"
    assert allowance.spend(0.75)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=60), st.floats(0, 2), st.floats(0.5, 20))
def test_who_waits_as_told_never_exceeds_the_rate(steps, patience_s, per_s):
    allowance = Allowance(1, per_s, now=0.0)
    now, turns = 0.0, []
    for step in steps:
        now += step
        pause_s = allowance.reserve(now, patience_s)
        if pause_s is not None:
            assert pause_s <= patience_s
            turns.append(now + pause_s)
    assert all(later - turn >= 1 / per_s - 1e-6 for turn, later in pairwise(turns))


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 50)), max_size=60), st.floats(0.1, 3))
def test_a_wheel_forgets_nobody_and_is_never_early(appointments, step):
    wheel: Wheel[int] = Wheel(0.25, 0.0)
    due: dict[int, float] = {}
    for entry, moment in appointments:
        wheel.put(entry, moment)
        due[entry] = min(moment, due.get(entry, moment))
    now = 0.0
    while now < 60:
        now += step
        for entry in wheel.due(now):
            assert due.pop(entry) <= now
        assert all(moment > now - 0.5 for moment in due.values())
    assert not due
    assert not len(wheel)


def test_an_entry_put_back_while_the_wheel_turns_is_seen_again():
    wheel: Wheel[str] = Wheel(0.25, 0.0)
    wheel.put("a", 0.3)
    seen = []
    for now in (1.0, 2.0, 3.0):
        for entry in wheel.due(now):
            seen.append(now)
            wheel.put(entry, now)
    assert seen == [1.0, 2.0, 3.0]
    wheel.remove("a")
    assert list(wheel.due(10.0)) == []


@pytest.mark.anyio
async def test_the_bridge_keeps_order_and_outlives_a_bad_call(caplog):
    bridge = Bridge()
    came: list[int] = []
    bridge.post(came.append, -1)
    bridge.attach(asyncio.get_running_loop())
    done = asyncio.Event()

    def work():
        for number in range(1000):
            bridge.post(came.append, number)
            if number == 500:
                bridge.post(int, "x")
        bridge.post(done.set)

    thread = threading.Thread(target=work)
    thread.start()
    async with asyncio.timeout(5):
        await done.wait()
    thread.join()
    assert came == list(range(-1, 1000))
    assert [record.message.split(":")[0] for record in caplog.records] == ["a call into the loop failed"]
