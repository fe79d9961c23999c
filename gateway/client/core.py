"""A ``kc.v1`` client without a socket or a clock: what it does about every frame, close and silence.

The same rules as ``kcactors.js``. Time (monotonic seconds) is passed in; what has to be done comes out as actions, to
be carried out in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from gateway.closing import CLOSE_TABLE

MIN_S: Final = 0.5
MAX_S: Final = 20.0
STABLE_S: Final = 10.0
"""So long live before the attempts are forgotten, so that accept-then-close loops still back off."""
HEAL_S: Final = 5.0
TAIL_S: Final = 2.0
ACK_S: Final = 1.0
SLACK_S: Final = 10.0

POLICIES: Final = {row.code: row for row in CLOSE_TABLE}


class Cursor(NamedTuple):
    """Everything up to ``seq`` has been handled."""

    epoch: str
    seq: int


class FetchToken(NamedTuple):
    """Get a token, and give it to :meth:`ClientCore.on_token`. ``force``: not the one we had."""

    force: bool


class Open(NamedTuple):
    """Open a socket with this token; any older one is no longer listened to."""

    token: str


class Send(NamedTuple):
    """Send a frame."""

    text: str


class Drop(NamedTuple):
    """Close the socket."""


class FetchSnapshot(NamedTuple):
    """Read the learning view, and give it to :meth:`ClientCore.on_snapshot`."""


class Place(NamedTuple):
    """Where a delivery stands. ``generation`` counts resets: what was handed over before one is void."""

    generation: int
    cursor: Cursor


class Deliver(NamedTuple):
    """Hand ``frame`` to the application, unless it is void; then call :meth:`ClientCore.on_handled`."""

    kind: str
    frame: dict[str, Any]
    place: Place


class Save(NamedTuple):
    """Keep the cursor; None: forget it."""

    cursor: Cursor | None


class Become(NamedTuple):
    """The state changed. ``code`` is the close code that stopped it."""

    state: str
    code: int | None = None


class Tell(NamedTuple):
    """Something the application may want to know: ``error`` or ``status``."""

    kind: str
    value: Any


Action: TypeAlias = FetchToken | Open | Send | Drop | FetchSnapshot | Deliver | Save | Become | Tell


class ClientCore:
    """See the module's text. Give it what happens, then carry out :meth:`actions`."""

    def __init__(
        self, *, cursor: Cursor | None = None, snapshot: bool = False, rng: random.Random | None = None
    ) -> None:
        self.state = "idle"
        self.cursor = cursor
        self._snapshot = snapshot
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._actions: list[Action] = []
        self._due: dict[str, float] = {}
        self._attempt = 0
        self._forced = False
        self._hint_s: float | None = None
        self._socket = False
        self._session: dict[str, Any] | None = None
        self._epoch: str | None = None
        self._seen: int | None = None
        self._acked = 0
        self._tail = 0
        self._held: dict[int, dict[str, Any]] = {}
        self._generation = 0
        self._frames: dict[str, Callable[[dict[str, Any], float], None]] = {
            "connected": self._connected,
            "business-event": self._event,
            "caught-up": self._caught_up,
            "reset": self._reset,
            "ping": self._ping,
            "refreshed": lambda frame, now: self._refresh_in(frame["exp_in"], now),
            "going-away": self._going_away,
            "status": lambda frame, _now: self._do(Tell("status", frame)),
            "error": lambda frame, _now: self._do(Tell("error", frame)),
        }

    def actions(self) -> list[Action]:
        """What has to be done, in order; taken out."""
        actions, self._actions = self._actions, []
        return actions

    @property
    def due_at(self) -> float | None:
        """When :meth:`on_time` has something to do."""
        return min(self._due.values(), default=None)

    # What happens

    def connect(self, now: float) -> None:
        """Begin."""
        if self.state in {"idle", "stopped"}:
            self._attempt, self._forced = 0, False
            self._open(now, force=False)

    def close(self) -> None:
        """End for good."""
        self._leave()
        self._due.clear()
        self._become("stopped")

    def on_token(self, token: str) -> None:
        """The token that :class:`FetchToken` asked for."""
        if self.state == "connecting" and not self._socket:
            self._socket = True
            self._do(Open(token))
        elif self._session is not None:
            self._send({"type": "refresh", "token": token})

    def on_failed(self, error: object, now: float) -> None:
        """A token or a snapshot could not be had, or the socket could not be opened."""
        self._do(Tell("error", error))
        if self.state in {"connecting", "catching-up"} and self._seen is None:
            self._retry(now)

    def on_open(self) -> None:
        """The socket is open."""
        frame: dict[str, Any] = {"type": "connect", "client": {"name": "python", "version": "1"}}
        if self.cursor is not None:
            frame["since"] = {"epoch": self.cursor.epoch, "seq": self.cursor.seq}
        self._do(Send(_text(frame)))

    def on_text(self, text: str | bytes, now: float) -> None:
        """A frame."""
        try:
            frame = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return
        self._due["watchdog"] = now + self._silence_s()
        act = self._frames.get(str(frame.get("type"))) if isinstance(frame, dict) else None
        if act is not None:
            act(frame, now)

    def on_closed(self, code: int, now: float) -> None:
        """The socket was closed by the other side, or broke (1006)."""
        row = POLICIES.get(code)
        policy = row.client if row else "reconnect"
        if policy == "stop" or (policy == "refresh_once" and self._forced):
            self._stop(code)
        elif policy == "reconnect":
            self._retry(now, at_least_s=row.min_ms / 1000 if row else 0.0)
        else:
            self._leave()
            self._forced = self._forced or policy == "refresh_once"
            self._attempt += 1
            if self._attempt > 3:
                self._retry(now)
            else:
                self._open(now, force=True)

    def on_snapshot(self, view: dict[str, Any], now: float) -> None:
        """The view that :class:`FetchSnapshot` asked for."""
        if self._session is None or self._seen is not None:
            return
        self._deliver("snapshot", view, Cursor(str(self._epoch), view["as_of_seq"]))
        self._begin(view["as_of_seq"], now)

    def is_void(self, place: Place) -> bool:
        """Whether a reset came after this was handed over."""
        return place.generation != self._generation

    def on_handled(self, place: Place, now: float) -> None:
        """The application is done with what was delivered at ``place``."""
        if self.is_void(place):
            return
        if self.cursor is None or place.cursor.seq > self.cursor.seq:
            self.cursor = place.cursor
            self._do(Save(self.cursor))
            self._due.setdefault("ack", now + ACK_S)

    def on_time(self, now: float) -> None:
        """Whatever is due."""
        for name in [name for name, due in self._due.items() if due <= now]:
            if self._due.pop(name, None) is not None:
                getattr(self, f"_on_{name}")(now)

    # Deadlines

    def _on_retry(self, now: float) -> None:
        self._open(now, force=False)

    def _on_watchdog(self, now: float) -> None:
        self._retry(now)

    def _on_stable(self, _now: float) -> None:
        self._attempt, self._forced = 0, False

    def _on_heal(self, now: float) -> None:
        if self._seen is not None and self._tail > self._seen:
            self._retry(now)

    def _on_tail(self, now: float) -> None:
        if self._seen is not None and self._tail > self._seen:
            self._heal(now)

    def _on_ack(self, _now: float) -> None:
        if self.cursor is not None and self.cursor.seq > self._acked:
            self._acked = self.cursor.seq
            self._send({"type": "ack", "seq": self._acked})

    def _on_refresh(self, _now: float) -> None:
        self._do(FetchToken(force=True))

    # Connecting

    def _open(self, now: float, *, force: bool) -> None:
        self._due.pop("retry", None)
        self._socket, self._session = False, None
        self._epoch, self._seen = self.cursor or (None, None)
        self._acked = self._seen or 0
        self._held.clear()
        self._become("connecting")
        self._due["watchdog"] = now + 2 * SLACK_S
        self._do(FetchToken(force))

    def _leave(self) -> None:
        if self._socket:
            self._do(Drop())
        self._socket, self._session = False, None
        for name in ("watchdog", "heal", "tail", "refresh", "ack", "stable"):
            self._due.pop(name, None)

    def _retry(self, now: float, at_least_s: float = 0.0) -> None:
        self._leave()
        pause_s = self._hint_s
        if pause_s is None:
            pause_s = max(at_least_s, MIN_S + self._rng.random() * min(MAX_S, MIN_S * 2**self._attempt))
        self._hint_s = None
        self._attempt += 1
        self._become("waiting")
        self._due["retry"] = now + min(pause_s, MAX_S + MIN_S)

    def _stop(self, code: int) -> None:
        self._leave()
        self._due.clear()
        if code == 4503:
            self.cursor = None
            self._do(Save(None))
        self._become("stopped", code)

    # Frames

    def _connected(self, frame: dict[str, Any], now: float) -> None:
        self._session, self._tail = frame, frame["head"]
        self._due["watchdog"] = now + self._silence_s()
        self._become("catching-up")
        self._refresh_in(frame["exp_in"], now)
        if frame["resume"] != "none":
            return
        self._epoch = frame["epoch"]
        if self._snapshot:
            self._do(FetchSnapshot())
        else:
            self._begin(frame["head"], now)

    def _begin(self, start: int, now: float) -> None:
        self._seen = self._acked = start
        self.cursor = Cursor(str(self._epoch), start)
        self._do(Save(self.cursor))
        self._unhold(now)
        head = (self._session or {}).get("head", start)
        if self._seen < head:
            self._send({"type": "sync", "since": {"epoch": self._epoch, "seq": self._seen}})
        else:
            self._live(now)

    def _event(self, frame: dict[str, Any], now: float) -> None:
        seq = frame["seq"]
        if self._epoch is not None and frame["epoch"] != self._epoch:
            return
        self._tail = max(self._tail, seq)
        if self._seen is None:
            self._held[seq] = frame
        elif seq == self._seen + 1:
            self._take(frame)
            self._unhold(now)
        elif seq > self._seen:
            self._held[seq] = frame
            self._heal(now)

    def _take(self, frame: dict[str, Any]) -> None:
        self._seen = frame["seq"]
        if self._tail <= frame["seq"]:
            self._due.pop("heal", None)
            self._due.pop("tail", None)
        self._deliver("business-event", frame, Cursor(str(self._epoch), frame["seq"]))

    def _unhold(self, _now: float) -> None:
        for seq in sorted(self._held):
            if self._seen is None or seq > self._seen + 1:
                break
            frame = self._held.pop(seq)
            if seq == self._seen + 1:
                self._take(frame)
        if not self._held:
            self._due.pop("heal", None)

    def _heal(self, now: float) -> None:
        if "heal" not in self._due:
            self._become("catching-up")
            self._send({"type": "sync", "since": {"epoch": self._epoch, "seq": self._seen}})
            self._due["heal"] = now + HEAL_S

    def _caught_up(self, frame: dict[str, Any], now: float) -> None:
        if self._seen is None:
            return
        if frame["seq"] > self._seen:
            self._heal(now)
        else:
            self._live(now)

    def _reset(self, frame: dict[str, Any], _now: float) -> None:
        # Forgotten before the snapshot is applied: a crash in between must not leave a cursor of another log.
        self.cursor = None
        self._do(Save(None))
        self._generation += 1
        self._held.clear()
        snapshot = frame["snapshot"]
        self._epoch = snapshot.get("epoch", frame["epoch"])
        self._seen = self._acked = snapshot["as_of_seq"]
        self._deliver("reset", frame, Cursor(str(self._epoch), snapshot["as_of_seq"]))

    def _ping(self, frame: dict[str, Any], now: float) -> None:
        self._tail = max(self._tail, frame["head"])
        self._acked = self.cursor.seq if self.cursor else 0
        self._send({"type": "pong", "seq": self._acked})
        # A doorbell may just be on its way; a head that stays ahead of us is a lost one.
        if self._seen is not None and self._tail > self._seen:
            self._due.setdefault("tail", now + TAIL_S)

    def _going_away(self, frame: dict[str, Any], _now: float) -> None:
        self._hint_s = frame["retry_after_ms"] / 1000

    def _refresh_in(self, seconds: float, now: float) -> None:
        if seconds > 0:
            self._due["refresh"] = now + seconds * (0.75 + self._rng.random() * 0.1)

    # How

    def _live(self, now: float) -> None:
        if self.state != "live":
            self._become("live")
            self._due["stable"] = now + STABLE_S

    def _deliver(self, kind: str, frame: dict[str, Any], cursor: Cursor) -> None:
        self._do(Deliver(kind, frame, Place(self._generation, cursor)))

    def _send(self, frame: dict[str, Any]) -> None:
        if self._session is not None:
            self._do(Send(_text(frame)))

    def _become(self, state: str, code: int | None = None) -> None:
        if state != self.state:
            if state != "live":
                self._due.pop("stable", None)
            self.state = state
            self._do(Become(state, code))

    def _do(self, action: Action) -> None:
        self._actions.append(action)

    def _silence_s(self) -> float:
        return float(self._session["ping"] if self._session else SLACK_S) + SLACK_S


def _text(frame: dict[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()
