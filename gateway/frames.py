"""The frames of ``kc.v1``: what a client may say, and what the server says. One JSON object each, UTF-8 text.

These structs are the only place where a frame's shape is written down; the documents are generated from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw

from gateway.resume import SEQ_MAX

SUBPROTOCOL: Final = "kc.v1"
BEARER_PREFIX: Final = "kc.bearer."

Seq: TypeAlias = Annotated[
    int, Meta(ge=0, le=SEQ_MAX, description="place in the student's log; 0: before the first")
]
Epoch: TypeAlias = Annotated[str, Meta(max_length=32, description="opaque; another one voids every cursor")]
TokenText: TypeAlias = Annotated[str, Meta(max_length=8192)]


class Cursor(msgspec.Struct, frozen=True):
    """Where a client is: it has handled ``seq`` and everything before it."""

    seq: Seq
    epoch: Epoch | None = None


class ClientInfo(msgspec.Struct, frozen=True):
    """Who is speaking, for the logs."""

    name: Annotated[str, Meta(max_length=64)] = ""
    version: Annotated[str, Meta(max_length=64)] = ""


class Connect(msgspec.Struct, frozen=True, tag_field="type", tag="connect"):
    """The first frame. ``token`` unless it came as a subprotocol; ``since`` to resume."""

    token: TokenText | None = None
    since: Cursor | None = None
    client: ClientInfo | None = None


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """Everything up to ``seq`` has been handled."""

    seq: Seq


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to a ping; ``seq`` acknowledges on the way."""

    seq: Seq | None = None


class Sync(msgspec.Struct, frozen=True, tag_field="type", tag="sync"):
    """Send again what follows ``since``."""

    since: Cursor


class Refresh(msgspec.Struct, frozen=True, tag_field="type", tag="refresh"):
    """A newer token of the same student."""

    token: TokenText


ClientFrame: TypeAlias = Connect | Ack | Pong | Sync | Refresh


class Limits(msgspec.Struct, frozen=True):
    """What the server accepts. ``frame`` is in bytes."""

    frame: int


class Connected(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="connected"):
    """The answer to ``connect``. ``from`` to ``to`` are about to follow; ``ping``, ``pong``, ``exp_in`` in seconds."""

    session: str
    epoch: Epoch
    head: Seq
    resume: str
    ping: float
    pong: float
    exp_in: int
    limits: Limits
    first: int | None = msgspec.field(default=None, name="from")
    to: int | None = None


class StreamConnected(msgspec.Struct, frozen=True, tag_field="type", tag="connected"):
    """The first event of a server-sent stream: :class:`Connected` without what only a WebSocket has."""

    epoch: Epoch
    head: Seq
    resume: str
    ping: float
    exp_in: int


class CaughtUpFrame(msgspec.Struct, frozen=True, tag_field="type", tag="caught-up"):
    """Everything up to ``seq`` has been sent; from here on it is live."""

    seq: Seq


class ResetFrame(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """Forget the cursor, start from ``snapshot`` (a learning view), continue at its ``as_of_seq`` + 1."""

    epoch: Epoch
    head: Seq
    reason: str
    snapshot: Raw


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Answer with ``pong``. ``head`` proves that nothing was missed; ``now`` is Unix time in milliseconds."""

    head: Seq
    now: int


class Refreshed(msgspec.Struct, frozen=True, tag_field="type", tag="refreshed"):
    """The newer token is in force for ``exp_in`` seconds."""

    exp_in: int


class GoingAway(msgspec.Struct, frozen=True, tag_field="type", tag="going-away"):
    """This node stops; come back after ``retry_after_ms``."""

    retry_after_ms: int


class Status(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="status"):
    """``live`` false: events come late (the log is polled), but they come."""

    live: bool
    reason: str | None = None


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="error"):
    """A frame was not acted on. ``ref`` is its type."""

    code: str
    ref: str | None = None
    detail: str | None = None
    retry_after_ms: int | None = None


ServerFrame: TypeAlias = (
    Connected | CaughtUpFrame | ResetFrame | Ping | Refreshed | GoingAway | Status | Refusal
)

_TYPES: Final = frozenset(str(kind.__struct_config__.tag) for kind in (Connect, Ack, Pong, Sync, Refresh))
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_encoder = msgspec.json.Encoder()


class BadFrame(ValueError):
    """A frame that breaks the protocol. ``ref`` is its type when it has a known one."""

    def __init__(self, detail: str, ref: str | None = None) -> None:
        super().__init__(detail)
        self.ref = ref


class UnknownType(BadFrame):
    """A well-formed frame of a type that this version does not know: refused, the session goes on."""


def read_frame(text: str) -> ClientFrame:
    """Decode a client's frame.

    Raises:
        UnknownType: an object whose ``type`` is a text that we don't know.
        BadFrame: anything else that is not a frame.
    """
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        kind = _type_of(text)
        if kind is not None and kind not in _TYPES:
            raise UnknownType("unknown frame type", kind[:32]) from error
        raise BadFrame(str(error), kind) from error
    except msgspec.DecodeError as error:
        raise BadFrame(f"no JSON: {error}") from error
    except UnicodeEncodeError as error:
        raise BadFrame("no UTF-8") from error
    except RecursionError as error:
        raise BadFrame("nested too deeply") from error


def write_frame(frame: ServerFrame | StreamConnected) -> str:
    """The text of a server's frame."""
    return _encoder.encode(frame).decode()


def _type_of(text: str) -> str | None:
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None
