"""The learning page and its parts. The shell is open; what it shows is fetched with the token from the fragment."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final
from uuid import UUID

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from actors.protocol.payments import AmountMinor, Tier
from gateway.access import reader_of
from gateway.door import Door
from gateway.problem import Problem
from gateway.webhooks.body import read_body
from gateway.webhooks.kc import KcProvider, sign
from gateway.webhooks.route import accept_signed

ASSETS: Final = {
    "kcactors.js": ("client/kcactors.js", "text/javascript"),
    "learning.js": ("assets/learning.js", "text/javascript"),
    "learning.css": ("assets/learning.css", "text/css"),
    "reference.css": ("assets/reference.css", "text/css"),
}

templates = jinja2.Environment(
    loader=jinja2.PackageLoader("gateway"), autoescape=True, undefined=jinja2.StrictUndefined
)


class Checkout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the checkout button sends. ``amount`` is in minor units."""

    student_id: UUID
    course_id: UUID
    tier: Tier = 10
    amount: AmountMinor = 250_000


@cache
def _asset(name: str) -> tuple[bytes, str, str]:
    path, kind = ASSETS[name]
    body = (files("gateway") / path).read_bytes()
    return body, kind, f'"{sha256(body).hexdigest()[:20]}"'


async def asset(request: Request) -> Response:
    """``GET /assets/{name}``: scripts and styles, revalidated by their hash."""
    name = request.path_params["name"]
    if name not in ASSETS:
        raise Problem(404, "not_found", "No such file.")
    body, kind, tag = _asset(name)
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)


async def learning_page(request: Request) -> Response:
    """``GET /students/{id}``."""
    door: Door = request.app.state.door
    nonce = secrets.token_urlsafe(16)
    html = templates.get_template("learning.html").render(
        nonce=nonce, student_id=str(request.path_params["student_id"]), dev=door.deps.dev is not None
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    # Not no-store, which would keep it out of the browser's back/forward cache; the shell itself holds nothing secret.
    headers = {"content-security-policy": policy, "cache-control": "private, no-cache"}
    return HTMLResponse(html, headers=headers)


async def dev_courses(request: Request) -> Response:
    """``GET /dev/courses``: what the checkout button can buy. Development only."""
    door: Door = request.app.state.door
    if door.deps.dev is None:
        raise Problem(404, "not_found", "There is no shop here.")
    return Response(msgspec.json.encode(await door.deps.dev.courses()), media_type="application/json")


async def dev_checkout(request: Request) -> Response:
    """``POST /dev/checkout``: pay as the platform would, with a signed event through the webhook. Development only."""
    door: Door = request.app.state.door
    if door.deps.dev is None:
        raise Problem(404, "not_found", "There is no shop here.")
    try:
        order = msgspec.json.decode(await read_body(request, 4096), type=Checkout)
    except msgspec.DecodeError as error:
        raise Problem(400, "bad_order", str(error)) from error
    await reader_of(request, door.tokens, order.student_id)
    payment_id = f"pay_dev_{secrets.token_hex(8)}"
    body = msgspec.json.encode(
        {
            "event_id": f"evt_{payment_id}",
            "type": "PAYMENT_SUCCEEDED",
            "provider": "kc",
            "payment_id": payment_id,
            "student_id": order.student_id,
            "course_id": order.course_id,
            "tier": order.tier,
            "amount": order.amount,
            "currency": "INR",
            "occurred_at": datetime.fromtimestamp(door.wall(), UTC),
        }
    )
    headers = {"kc-signature": sign(door.deps.dev.secret, body, int(door.wall()))}
    settled = await accept_signed(door, KcProvider([door.deps.dev.secret]), headers, body)
    answer = {"outcome": settled.outcome.value, "payment_id": payment_id, "purchase_id": settled.purchase_id}
    return Response(msgspec.json.encode(answer), media_type="application/json")
