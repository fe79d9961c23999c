"""One WebSocket session as a state machine: frames, deadlines and limits, without a socket, a loop or a clock.

The shell passes in what arrives, with the time (monotonic seconds), and afterwards carries out what stands in the
outputs: :attr:`Session.verify` (a token to check), :meth:`Session.take` (texts to send), :attr:`Session.close` (a
code), and whatever the :class:`~gateway.feed.Feed` needs. Nothing else happens behind its back.

    awaiting ``connect`` ──token──► verifying ──ok──► open ──► closing (``close`` is set)
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum
from typing import Final, NamedTuple, Protocol

from msgspec import Raw

from gateway.allowance import Allowance
from gateway.closing import Close
from gateway.feed import CaughtUp, Event, Feed, Item, Opened
from gateway.frames import (
    Ack,
    BadFrame,
    CaughtUpFrame,
    ClientFrame,
    Connect,
    Connected,
    GoingAway,
    Limits,
    Ping,
    Pong,
    Refresh,
    Refreshed,
    Refusal,
    ResetFrame,
    ServerFrame,
    Status,
    Sync,
    UnknownType,
    read_frame,
    write_frame,
)
from gateway.limits import GatewayLimits
from gateway.resume import Position
from gateway.tokens import Claims

UNACKED_MAX: Final = 64
"""Live events whose acknowledgement is timed; older ones are no longer waited for."""


class Phase(Enum):
    """See the module's text."""

    AWAITING = "awaiting"
    VERIFYING = "verifying"
    OPEN = "open"


class Tally(Protocol):
    """Where a session reports what the metrics count."""

    def heal(self, cause: str) -> None: ...
    def resumed(self, kind: str) -> None: ...
    def reset(self, reason: str) -> None: ...
    def sent_late_by(self, seconds: float) -> None: ...
    def acked_late_by(self, seconds: float) -> None: ...


class TokenToCheck(NamedTuple):
    """``refresh`` tells a newer token from the first one."""

    token: str
    refresh: bool


class Session:
    """See the module's text.

    Args:
        session_id: opaque name of the session.
        bearer: the token from the subprotocol header, if one was there.
        wall_offset_s: wall clock minus monotonic clock, in seconds, to say Unix times.
    """

    __slots__ = (
        "_acked",
        "_allowance",
        "_connect_by",
        "_control",
        "_expires_at",
        "_limits",
        "_ping_at",
        "_pong_by",
        "_rng",
        "_since",
        "_stall_by",
        "_strikes",
        "_tally",
        "_told_live",
        "_unacked",
        "_upstream_live",
        "_wall_offset_s",
        "bearer",
        "close",
        "feed",
        "phase",
        "quiet",
        "session_id",
        "student_id",
        "verify",
    )

    def __init__(
        self,
        *,
        session_id: str,
        bearer: str | None,
        limits: GatewayLimits,
        tally: Tally,
        rng: random.Random,
        now: float,
        wall_offset_s: float,
    ) -> None:
        self.session_id, self.bearer = session_id, bearer
        self._limits, self._tally, self._rng = limits, tally, rng
        self._wall_offset_s = wall_offset_s
        self.feed = Feed(
            replay_max=limits.replay_events,
            queue_events=limits.queue_events,
            queue_bytes=limits.queue_bytes,
            on_heal=tally.heal,
        )
        self.phase = Phase.AWAITING
        self.student_id: str | None = None
        self.verify: TokenToCheck | None = None
        self.close: Close | None = None
        self.quiet = True
        """No event since the last ping: its head has to be looked up."""
        self._control: list[str] = []
        self._since: Position | None = None
        self._allowance: Allowance | None = None
        self._strikes = 0
        self._connect_by: float | None = now + limits.connect_timeout_s
        self._ping_at: float | None = None
        self._pong_by: float | None = None
        self._stall_by: float | None = None
        self._expires_at = 0.0
        self._upstream_live = self._told_live = True
        self._unacked: deque[tuple[int, float]] | None = None
        self._acked = 0

    # What arrives

    def on_text(self, text: str, now: float) -> None:
        """A text frame."""
        if self.close is not None or not self._may_speak(now):
            return
        try:
            self._act_on(read_frame(text), now)
        except UnknownType as unknown:
            self._say(Refusal("unknown_type", unknown.ref))
        except BadFrame as bad:
            self._bad_request(str(bad), bad.ref)

    def _act_on(self, frame: ClientFrame, now: float) -> None:
        if self.phase is Phase.AWAITING:
            if isinstance(frame, Connect):
                self._connect(frame)
            else:
                raise BadFrame("connect must be first")
        elif isinstance(frame, Connect):
            raise BadFrame("connect was sent before", "connect")
        elif isinstance(frame, Refresh):
            self._refresh(frame)
        elif isinstance(frame, Ack):
            self._ack(frame.seq, now)
        elif isinstance(frame, Pong):
            self._pong_by = None
            if frame.seq is not None:
                self._ack(frame.seq, now)
        else:
            self._sync(frame, now)

    def on_binary(self) -> None:
        """A binary frame: ``kc.v1`` has none."""
        self._bad_request("frames are text")

    def on_claims(self, claims: Claims, now: float) -> None:
        """The token in :attr:`verify` is good."""
        check, self.verify = self.verify, None
        if check is None or self.close is not None:
            return
        if claims.student_id is None or (check.refresh and claims.student_id != self.student_id):
            self.close = Close.INVALID_TOKEN
            return
        self._expires_at = claims.expires_at - self._wall_offset_s
        if check.refresh:
            self._say(Refreshed(self._expires_in(now)))
            return
        self.student_id, self.phase = claims.student_id, Phase.OPEN
        self.bearer = self._connect_by = None
        self._ping_at = now + self._limits.ping_s * self._rng.uniform(0.5, 1.0)
        self.feed.open(self._since)

    def on_refused(self, *, expired: bool) -> None:
        """The token in :attr:`verify` opens nothing."""
        check, self.verify = self.verify, None
        if check is not None and check.refresh and expired:
            self._say(Refusal("token_expired", "refresh"))
            return
        self.close = self.close or (Close.TOKEN_EXPIRED if expired else Close.INVALID_TOKEN)

    def on_upstream(self, *, live: bool) -> None:
        """The doorbell works, or not."""
        self._upstream_live = live

    def on_going_away(self, retry_after_ms: int) -> None:
        """The node stops."""
        if self.close is None:
            self._say(GoingAway(retry_after_ms))
            self.close = Close.GOING_AWAY

    def on_time(self, now: float) -> None:
        """Whatever is due at ``now``. When a ping is due, the feed has been told the log's head before."""
        if self.close is not None:
            return
        if self._stall_by is not None and now >= self._stall_by:
            self.close = Close.SLOW_CONSUMER
        elif self._connect_by is not None and now >= self._connect_by:
            self.close = Close.STALE_CONNECT
        elif self._pong_by is not None and now >= self._pong_by:
            self.close = Close.NO_PONG
        elif self.phase is Phase.OPEN and now >= self._expires_at + self._limits.token_grace_s:
            self.close = Close.TOKEN_EXPIRED
        elif self.ping_due(now):
            self._ping_at = now + self._limits.ping_s
            self.quiet = True
            if self.feed.opened:
                self._say(Ping(self.feed.head, self._unix_ms(now)))
                self._pong_by = self._pong_by or now + self._limits.pong_s

    def ping_due(self, now: float) -> bool:
        """Whether a ping is to be sent now."""
        return self._ping_at is not None and now >= self._ping_at

    @property
    def due_at(self) -> float | None:
        """When :meth:`on_time` has something to do, or None."""
        if self.close is not None:
            return None
        moments = [self._stall_by, self._connect_by, self._pong_by, self._ping_at]
        if self.phase is Phase.OPEN:
            moments.append(self._expires_at + self._limits.token_grace_s)
        return min((moment for moment in moments if moment is not None), default=None)

    # What goes out

    @property
    def waiting(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._control) or self.feed.waiting or (self.feed.opened and self._status_is_news())

    def take(self, now: float) -> list[str]:
        """The next texts, in order. The shell calls :meth:`on_written` when they are out."""
        opened = self.feed.opened
        texts = [self._text(item, now) for item in self.feed.take()]
        if opened and self._status_is_news():
            self._told_live = self._upstream_live
            self._say(Status(self._told_live, None if self._told_live else "upstream"))
        control, self._control = self._control, []
        if texts or control:
            self._stall_by = now + self._limits.write_stall_s
        # The first of all is the feed's ``connected``; later ones may go ahead of a batch of events.
        return texts + control

    def on_written(self) -> None:
        """What was taken is with the kernel."""
        self._stall_by = None
        self.feed.sent()

    # How

    def _connect(self, frame: Connect) -> None:
        token = self.bearer or frame.token
        self._since = Position(frame.since.epoch or "", frame.since.seq) if frame.since else None
        if token is None:
            self.close = Close.INVALID_TOKEN
            return
        self.phase = Phase.VERIFYING
        self.verify = TokenToCheck(token, refresh=False)

    def _refresh(self, frame: Refresh) -> None:
        if self.verify is not None or self.phase is not Phase.OPEN:
            self._say(Refusal("busy", "refresh"))
            return
        self.verify = TokenToCheck(frame.token, refresh=True)

    def _sync(self, frame: Sync, now: float) -> None:
        if self.phase is not Phase.OPEN or not self.feed.opened:
            self._say(Refusal("busy", "sync"))
        elif now >= self._expires_at + self._limits.token_grace_s:
            self.close = Close.TOKEN_EXPIRED
        else:
            self.feed.sync(Position(frame.since.epoch or "", frame.since.seq))

    def _ack(self, seq: int, now: float) -> None:
        self._acked = max(self._acked, min(seq, self.feed.last))
        unacked = self._unacked
        while unacked and unacked[0][0] <= seq:
            self._tally.acked_late_by(now + self._wall_offset_s - unacked.popleft()[1])

    def _may_speak(self, now: float) -> bool:
        if self._allowance is None:
            self._allowance = Allowance(self._limits.frames_burst, self._limits.frames_per_s, now)
        if self._allowance.spend(now):
            self._strikes = max(0, self._strikes - 1)
            return True
        self._strikes += 1
        if self._strikes > self._limits.frames_burst:
            self.close = Close.RATE_LIMITED
        elif self._strikes == 1 or self._strikes % 5 == 0:
            self._say(Refusal("rate_limited", retry_after_ms=int(self._allowance.wait_s() * 1000) + 1))
        return False

    def _text(self, item: Item, now: float) -> str:
        if isinstance(item, Event):
            self.quiet = False
            if item.committed_at:
                self._tally.sent_late_by(now + self._wall_offset_s - item.committed_at)
                if self._unacked is None:
                    self._unacked = deque(maxlen=UNACKED_MAX)
                self._unacked.append((item.seq, item.committed_at))
            return item.text
        if isinstance(item, CaughtUp):
            return write_frame(CaughtUpFrame(item.seq))
        if isinstance(item, Opened):
            return self._connected(item, now)
        self._tally.reset(item.reason)
        return write_frame(ResetFrame(item.epoch, item.head, item.reason, Raw(item.snapshot)))

    def _connected(self, item: Opened, now: float) -> str:
        self._tally.resumed(item.resume)
        replayed = item.resume == "ok" and item.first <= item.last
        frame = Connected(
            session=self.session_id,
            epoch=item.epoch,
            head=item.head,
            resume=item.resume,
            ping=self._limits.ping_s,
            pong=self._limits.pong_s,
            exp_in=self._expires_in(now),
            limits=Limits(self._limits.frame_bytes),
            first=item.first if replayed else None,
            to=item.last if replayed else None,
        )
        return write_frame(frame)

    def _status_is_news(self) -> bool:
        return self._told_live is not self._upstream_live

    def _say(self, frame: ServerFrame) -> None:
        self._control.append(write_frame(frame))

    def _bad_request(self, detail: str, ref: str | None = None) -> None:
        if self.close is None:
            self._say(Refusal("bad_request", ref, detail))
            self.close = Close.BAD_REQUEST

    def _expires_in(self, now: float) -> int:
        return max(0, int(self._expires_at - now))

    def _unix_ms(self, now: float) -> int:
        return int((now + self._wall_offset_s) * 1000)
