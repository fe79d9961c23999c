"""The session's state machine, without a socket: time is passed in."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.closing import Close
from gateway.limits import GatewayLimits
from gateway.ports import Ring
from gateway.session import Phase, Session
from gateway.tokens import Claims

ME, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
WALL = 1_795_428_000.0


class Tally:
    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def __getattr__(self, name: str):
        return lambda value: self.said.append((name, value))


class Script:
    """A session, and what it says."""

    def __init__(self, bearer: str | None = "jwt", **limits) -> None:
        self.tally = Tally()
        self.now = 100.0
        self.session = Session(
            session_id="s_1",
            bearer=bearer,
            limits=GatewayLimits(**limits),
            tally=self.tally,
            rng=random.Random(1),
            now=self.now,
            wall_offset_s=WALL,
        )

    def say(self, **frame) -> "Script":
        self.session.on_text(json.dumps(frame), self.now)
        return self

    def pass_time(self, seconds: float) -> "Script":
        """Let every deadline on the way be met at its moment."""
        end = self.now + seconds
        while (due := self.session.due_at) is not None and due <= end:
            self.now = max(due, self.now)
            self.session.on_time(self.now)
        self.now = end
        return self

    def claims(self, student: str | None = ME, ttl_s: float = 900, *, operator: bool = False) -> "Script":
        self.session.on_claims(Claims(student, operator, self.now + WALL + ttl_s), self.now)
        return self

    def heard(self) -> list[dict[str, Any]]:
        texts = []
        while self.session.waiting:
            texts += self.session.take(self.now)
            self.session.on_written()
        return [json.loads(text) for text in texts]

    def opened(self, head: int = 0) -> "Script":
        self.say(type="connect").claims()
        self.session.feed.on_head("e1", head)
        return self

    @property
    def close(self) -> Close | None:
        return self.session.close


def test_the_hello_says_everything_a_client_needs():
    script = Script(frame_bytes=4096).opened(head=7)
    connected, caught_up = script.heard()
    assert connected == {
        "type": "connected",
        "session": "s_1",
        "epoch": "e1",
        "head": 7,
        "resume": "none",
        "ping": 25.0,
        "pong": 10.0,
        "exp_in": 900,
        "limits": {"frame": 4096},
    }
    assert caught_up == {"type": "caught-up", "seq": 7}


def test_the_token_may_come_in_the_first_frame():
    script = Script(bearer=None).say(type="connect", token="from-frame")
    assert script.session.verify == ("from-frame", False)


def test_the_header_goes_before_the_frame():
    assert Script(bearer="header").say(type="connect", token="frame").session.verify == ("header", False)


def test_no_token_at_all():
    assert Script(bearer=None).say(type="connect").close is Close.INVALID_TOKEN


@pytest.mark.parametrize(("expired", "close"), [(True, Close.TOKEN_EXPIRED), (False, Close.INVALID_TOKEN)])
def test_a_refused_token(expired, close):
    script = Script().say(type="connect")
    script.session.on_refused(expired=expired)
    assert script.close is close


def test_an_operator_without_a_student_has_no_log():
    assert Script().say(type="connect").claims(None, operator=True).close is Close.INVALID_TOKEN


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "ack", "seq": 1},
        {"type": "pong"},
        {"type": "sync", "since": {"seq": 1}},
        {"type": "refresh", "token": "x"},
    ],
)
def test_connect_must_be_first(frame):
    script = Script().say(**frame)
    assert script.close is Close.BAD_REQUEST
    assert script.heard()[0]["code"] == "bad_request"


def test_connect_must_be_once():
    script = Script().opened().say(type="connect")
    assert script.close is Close.BAD_REQUEST


def test_a_binary_frame():
    script = Script().opened()
    script.session.on_binary()
    assert script.close is Close.BAD_REQUEST


def test_an_unknown_type_is_refused_and_forgiven():
    script = Script().opened()
    script.heard()
    script.say(type="presence", of="me")
    assert script.heard() == [{"type": "error", "code": "unknown_type", "ref": "presence"}]
    assert script.close is None


def test_who_says_nothing_is_sent_away():
    assert Script(connect_timeout_s=10).pass_time(9.9).close is None
    assert Script(connect_timeout_s=10).pass_time(10).close is Close.STALE_CONNECT


def test_verifying_is_not_connected():
    script = Script().say(type="connect").pass_time(10)
    assert script.close is Close.STALE_CONNECT


def test_a_ping_comes_with_the_head_and_wants_a_pong():
    script = Script().opened(head=3)
    script.heard()
    script.session.feed.on_ring(Ring("e1", 4, "{}", 0.0))
    script.heard()
    ping: list[dict[str, Any]] = []
    while not ping:
        ping = [frame for frame in script.pass_time(1).heard() if frame["type"] == "ping"]
    assert [frame["head"] for frame in ping] == [4]
    assert abs(ping[0]["now"] - (script.now + WALL) * 1000) < 1_001
    script.say(type="pong", seq=4).pass_time(12)
    assert script.close is None


def test_the_first_pings_are_spread():
    dues = set()
    for seed in range(50):
        script = Script()
        script.session._rng = random.Random(seed)
        script.opened()
        assert script.session.due_at is not None
        dues.add(round(script.session.due_at - script.now, 1))
    assert min(dues) >= 12.5
    assert max(dues) <= 25
    assert len(dues) > 20


def test_no_pong_is_the_end():
    script = Script(ping_s=25, pong_s=10).opened()
    script.heard()
    script.pass_time(24.9 + 10.2)
    assert script.close is Close.NO_PONG


def test_the_end_of_the_token_has_a_grace():
    script = Script(ping_s=1e6, token_grace_s=25).say(type="connect").claims(ttl_s=60)
    script.session.feed.on_head("e1", 0)
    assert script.pass_time(84).close is None
    assert script.pass_time(1).close is Close.TOKEN_EXPIRED


def test_a_newer_token_goes_on():
    script = Script(ping_s=1e6).say(type="connect").claims(ttl_s=60)
    script.session.feed.on_head("e1", 0)
    script.heard()
    script.pass_time(50).say(type="refresh", token="newer")
    assert script.session.verify == ("newer", True)
    script.claims(ttl_s=900)
    assert script.heard() == [{"type": "refreshed", "exp_in": 900}]
    assert script.pass_time(900).close is None
    assert script.pass_time(25).close is Close.TOKEN_EXPIRED


def test_a_newer_token_of_another_student_is_the_end():
    script = Script().opened().say(type="refresh", token="theirs").claims(OTHER)
    assert script.close is Close.INVALID_TOKEN


def test_a_stale_refresh_is_refused_and_may_be_tried_again():
    script = Script().opened()
    script.heard()
    script.say(type="refresh", token="old")
    script.session.on_refused(expired=True)
    assert script.heard()[0]["code"] == "token_expired"
    assert script.say(type="refresh", token="new").session.verify == ("new", True)


def test_a_burst_is_forgiven_and_a_flood_is_not():
    script = Script(frames_burst=20, frames_per_s=2.0).opened()
    script.heard()
    for _ in range(19):
        script.say(type="ack", seq=0)
    assert script.heard() == []
    script.say(type="ack", seq=0)
    (refusal,) = script.heard()
    assert refusal["code"] == "rate_limited"
    assert 0 < refusal["retry_after_ms"] <= 501
    for _ in range(20):
        script.say(type="ack", seq=0)
    assert script.close is Close.RATE_LIMITED


def test_two_frames_a_second_are_for_ever_allowed():
    script = Script(ping_s=1e6).say(type="connect").claims(ttl_s=1e6)
    script.session.feed.on_head("e1", 0)
    script.heard()
    for _ in range(1000):
        script.now += 0.5
        script.say(type="ack", seq=0)
    assert script.heard() == []


def test_a_reader_that_takes_nothing_is_let_go():
    script = Script(write_stall_s=10, ping_s=1e6).opened()
    script.session.take(script.now)
    assert script.pass_time(9).close is None
    assert script.pass_time(1).close is Close.SLOW_CONSUMER


def test_a_reader_that_takes_in_time_is_kept():
    script = Script(write_stall_s=10, ping_s=1e6).opened()
    script.heard()
    assert script.pass_time(60).close is None


def test_acknowledgements_time_what_was_live():
    script = Script().opened(head=1)
    script.session.feed.on_ring(Ring("e1", 2, "{}", script.now + WALL - 0.5))
    script.session.feed.on_ring(Ring("e1", 3, "{}", script.now + WALL - 0.5))
    script.heard()
    script.now += 1.0
    script.say(type="ack", seq=3).say(type="ack", seq=2).say(type="pong", seq=3)
    timed = [value for name, value in script.tally.said if name == "acked_late_by"]
    assert timed == pytest.approx([1.5, 1.5])
    sent = [value for name, value in script.tally.said if name == "sent_late_by"]
    assert sent == pytest.approx([0.5, 0.5])


def test_the_doorbell_away_is_told_once_and_back_once():
    script = Script().opened()
    script.heard()
    script.session.on_upstream(live=False)
    assert script.heard() == [{"type": "status", "live": False, "reason": "upstream"}]
    assert script.heard() == []
    script.session.on_upstream(live=True)
    assert script.heard() == [{"type": "status", "live": True}]


def test_the_status_waits_for_the_hello():
    script = Script()
    script.session.on_upstream(live=False)
    script.opened()
    assert [frame["type"] for frame in script.heard()] == ["connected", "caught-up", "status"]


def test_going_away_says_when_to_come_back():
    script = Script().opened()
    script.heard()
    script.session.on_going_away(700)
    assert script.heard() == [{"type": "going-away", "retry_after_ms": 700}]
    assert script.close is Close.GOING_AWAY


def test_a_sync_before_the_hello_is_too_early():
    script = Script().say(type="connect").claims()
    script.say(type="sync", since={"epoch": "e1", "seq": 0})
    (refusal,) = script.heard()
    assert (refusal["code"], refusal["ref"]) == ("busy", "sync")


FRAMES = st.sampled_from(
    [
        '{"type":"connect"}',
        '{"type":"connect","since":{"epoch":"e1","seq":3}}',
        '{"type":"ack","seq":5}',
        '{"type":"pong"}',
        '{"type":"sync","since":{"epoch":"e1","seq":1}}',
        '{"type":"refresh","token":"t"}',
        '{"type":"nonsense"}',
        "garbage",
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("text"), FRAMES),
    st.tuples(st.just("time"), st.floats(0, 40)),
    st.tuples(st.just("claims"), st.sampled_from([ME, OTHER, None])),
    st.tuples(st.just("refused"), st.booleans()),
    st.tuples(st.just("head"), st.integers(0, 9)),
    st.tuples(st.just("ring"), st.integers(1, 9)),
    st.tuples(st.just("take"), st.just(None)),
    st.tuples(st.just("away"), st.just(None)),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_whatever_comes_the_rules_hold(steps):
    script = Script(frames_burst=100)
    session = script.session
    said: list[dict[str, Any]] = []
    closed: Close | None = None
    for verb, value in steps:
        if verb == "text":
            session.on_text(value, script.now)
        elif verb == "time":
            script.pass_time(value)
        elif verb == "claims" and session.verify is not None:
            script.claims(value)
        elif verb == "refused" and session.verify is not None:
            session.on_refused(expired=value)
        elif verb == "head" and session.phase is Phase.OPEN:
            session.feed.on_head("e1", value)
        elif verb == "ring" and session.phase is Phase.OPEN:
            session.feed.on_ring(Ring("e1", value, json.dumps({"type": "business-event", "seq": value}), 0.0))
        elif verb == "take":
            said += script.heard()
        elif verb == "away":
            session.on_upstream(live=not session._upstream_live)
        assert closed is None or session.close is closed, "a close is final"
        closed = session.close
        assert session.student_id in {None, ME, OTHER}
    kinds = [frame["type"] for frame in said]
    spoken = [kind for kind in kinds if kind != "error"]
    assert spoken[:1] in ([], ["connected"]), "connected is the first that is not an error"
    assert kinds.count("connected") <= 1
