"""The public HTTP operations as a table: what each takes and answers. ``/openapi.json`` is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from actors.parking.desk import LIST_MAX, Retried
from actors.protocol.payments import PaymentRefunded, PaymentSucceeded
from gateway.parkedshapes import DiscardReason, ParkedMessage, ParkedPage
from gateway.resume import SEQ_MAX
from gateway.shapes import EventsPage, HomeView, LearningView, Readiness, WebhookAnswer

Answer = type | str
Parameter = tuple[str, dict[str, Any]]
NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


class Body(NamedTuple):
    """What a request brings. No ``kinds``: bytes that somebody else defines."""

    text: str
    kinds: tuple[type, ...] = ()
    required: bool = True


class Operation(NamedTuple):
    """One operation.

    ``answer`` is the type of a 200, or its media type; ``refusals`` say which problem documents there are, and why.
    ``query`` and ``headers`` are optional parameters: their meaning and their schema.
    """

    method: str
    path: str
    name: str
    summary: str
    answer: Answer
    refusals: Mapping[int, str] = NONE
    query: Mapping[str, Parameter] = NONE
    headers: Mapping[str, Parameter] = NONE
    body: Body | None = None
    open: bool = False


STUDENT: Final = "/api/v1/students/{student_id}"
PARKED: Final = "/api/v1/parked"
ONE_PARKED: Final = PARKED + "/{row_id}"
TEXT: Final = {"type": "string"}
SEQ: Final = {"type": "integer", "minimum": 0, "maximum": SEQ_MAX}
ROW_ID: Final = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
PATH_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "student_id": ("the student", {"type": "string", "format": "uuid"}),
    "provider": ("who sends the event", {"type": "string", "enum": ["kc", "razorpay", "stripe"]}),
    "row_id": ("a parked message", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}),
}

AWAY: Final = "the database does not answer, or the token cannot be checked now"
READ: Final = {
    400: "a parameter is out of its bounds",
    401: "no token, or one that is invalid or has expired",
    403: "the token is another student's",
    404: "the student id is none",
    503: AWAY,
}
HAND: Final = {
    401: READ[401],
    403: "the token has no operator role",
    404: "there is no such parked message",
    503: AWAY,
}
TOO_MANY: Final = {429: "this student has too many open readers"}
NOT_OPEN: Final = {409: "it has been dealt with"}
TOO_LARGE: Final = {413: "the body is too large"}

OPERATIONS: Final = (
    Operation(
        "post",
        "/api/v1/webhooks/{provider}",
        "webhook",
        "Take a provider's signed event; answered when it stands in the database.",
        WebhookAnswer,
        {
            400: "the signature is missing, wrong or too old, or the body ended early",
            404: "no webhook of this provider is set up",
            **TOO_LARGE,
            503: "nothing was written; bring it again",
        },
        headers={
            "KC-Signature": ("of `kc`: t=<unix seconds>,v1=<hex hmac-sha256 of t.body>", TEXT),
            "X-Razorpay-Signature": ("of `razorpay`: hex hmac-sha256 of the body", TEXT),
            "Stripe-Signature": ("of `stripe`: t=<unix seconds>,v1=<hex hmac-sha256 of t.body>", TEXT),
        },
        body=Body("The raw body that the provider signed; for `kc` a payment event. What does not decode is parked."),
        open=True,
    ),
    Operation(
        "get",
        STUDENT + "/learning",
        "learning",
        "What the student owns; never older than `min_seq`.",
        LearningView,
        READ | {503: "the log did not reach `min_seq` within 2 s, or " + AWAY},
        {"min_seq": ("the view must be at least this new; waits up to 2 s for it", SEQ)},
    ),
    Operation("get", STUDENT + "/home", "home", "The short view.", HomeView, READ),
    Operation(
        "get",
        STUDENT + "/events",
        "events",
        "The event log after a place; with `wait` a long poll.",
        EventsPage,
        READ | TOO_MANY | {409: "the log does not go on at `after`: read the learning view and go on from there"},
        {
            "after": ("events after this one", SEQ),
            "wait": ("seconds to wait for the next event", {"type": "integer", "minimum": 0, "maximum": 3600}),
            "limit": ("events in this page", {"type": "integer", "minimum": 1, "maximum": 500}),
        },
    ),
    Operation(
        "get",
        STUDENT + "/stream",
        "stream",
        "The event log as server-sent events; `Last-Event-ID` or `since` resume.",
        "text/event-stream",
        READ | TOO_MANY,
        {
            "since": ("epoch:seq, as `Last-Event-ID`", {"type": "string", "pattern": r"^[!-~]{0,32}:[0-9]{1,15}$"}),
            "after": ("the same without an epoch", SEQ),
        },
    ),
    Operation(
        "get",
        PARKED,
        "parked",
        "Messages that could not be done, newest first.",
        ParkedPage,
        {status: why for status, why in HAND.items() if status != 404} | {400: READ[400]},
        {
            "state": ("open when left out", {"type": "string", "enum": ["open", "resolved", "discarded"]}),
            "group": ("messages that failed alike only", TEXT),
            "before": ("older than this one only; `next` of the page before", ROW_ID),
            "limit": ("messages in this page", {"type": "integer", "minimum": 1, "maximum": LIST_MAX}),
        },
    ),
    Operation("get", ONE_PARKED, "parkedMessage", "One message with its bytes.", ParkedMessage, HAND),
    Operation(
        "put",
        ONE_PARKED,
        "editParked",
        "Put a corrected payment event in the place of bytes that are no good.",
        ParkedMessage,
        HAND | NOT_OPEN | TOO_LARGE | {422: "the body is no payment event; `field` names what is wrong"},
        body=Body("A payment event.", (PaymentSucceeded, PaymentRefunded)),
    ),
    Operation(
        "post", ONE_PARKED + "/retry", "retryParked", "Try it again, in the ordinary way.", Retried, HAND | NOT_OPEN
    ),
    Operation(
        "post",
        ONE_PARKED + "/discard",
        "discardParked",
        "Put it aside for good; the row stays.",
        ParkedMessage,
        HAND | NOT_OPEN | TOO_LARGE | {400: "the body is no reason"},
        body=Body("Why nobody will miss it.", (DiscardReason,), required=False),
    ),
    Operation("get", "/healthz", "healthz", "Alive.", "application/json", open=True),
    Operation(
        "get",
        "/readyz",
        "readyz",
        "Ready, and what is degraded.",
        Readiness,
        {503: "the database does not answer, or the node is stopping"},
        open=True,
    ),
    Operation("get", "/metrics", "metrics", "Prometheus metrics.", "text/plain", open=True),
)  # fmt: skip
