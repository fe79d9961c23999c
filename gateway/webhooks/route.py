"""``POST /api/v1/webhooks/{provider}``: check the bytes, hand the event in, answer when it stands in the database."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from actors.protocol.outcome import Settled
from actors.protocol.undecodable import Undecodable
from gateway.bridge import Bridge
from gateway.door import Door
from gateway.problem import Problem, unavailable
from gateway.shapes import WebhookAnswer
from gateway.toolarge import BodyTooLarge
from gateway.webhooks.provider import BadSignature, Provider

logger = logging.getLogger(__name__)


class WaitingWebhook:
    """The source of one event: an open request. Its answer comes from an actor's thread."""

    __slots__ = ("_bridge", "answer")

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

    def settle(self, settled: Settled) -> None:
        self._bridge.post(self._set, settled)

    def _set(self, settled: Settled) -> None:
        # The deadline may have passed: the event stands all the same, and the provider's next try will hear so.
        if not self.answer.done():
            self.answer.set_result(settled)


async def webhook(request: Request) -> Response:
    """The route. See the module's text."""
    door: Door = request.app.state.door
    name = request.path_params["provider"]
    provider = door.deps.providers.get(name)
    if provider is None:
        raise Problem(404, "unknown_provider", "No webhook of this provider is set up here.")
    try:
        settled = await _receive(request, door, provider)
    except Problem as problem:
        door.metrics.webhook(name, problem.code)
        raise
    door.metrics.webhook(name, settled.outcome.value)
    return _answer(settled)


async def _receive(request: Request, door: Door, provider: Provider) -> Settled:
    if door.draining:
        raise unavailable("draining", "This node is stopping.", retry_after_s=1)
    if door.webhooks_in_flight >= door.limits.webhooks_in_flight:
        raise unavailable("too_many_webhooks", "Too many webhooks wait for their commit.", retry_after_s=1)
    door.webhooks_in_flight += 1
    door.metrics.webhooks_in_flight.set(door.webhooks_in_flight)
    try:
        async with asyncio.timeout(door.limits.webhook_deadline_s):
            body = await read_body(request, door.limits.webhook_body_bytes)
            return await accept_signed(door, provider, request.headers, body)
    except TimeoutError as late:
        retry_s = door.limits.webhook_retry_after_s
        raise unavailable("no_commit_in_time", "No commit in time.", retry_after_s=retry_s) from late
    except ClientDisconnect as gone:
        raise Problem(400, "incomplete_body", "The body ended early.") from gone
    finally:
        door.webhooks_in_flight -= 1
        door.metrics.webhooks_in_flight.set(door.webhooks_in_flight)


async def accept_signed(door: Door, provider: Provider, headers: Any, body: bytes) -> Settled:
    """Check, translate, hand in, and wait for the verdict.

    Raises:
        Problem: 400 for a bad signature, 503 when nothing was written.
    """
    try:
        provider.check(headers, body, door.wall())
    except BadSignature as bad:
        raise Problem(400, "bad_signature", str(bad)) from bad
    source = WaitingWebhook(door.bridge)
    try:
        event = provider.translate(headers, body)
    except Undecodable as reason:
        door.intake.park(
            body, reason, source, provider=provider.name, event_id=provider.event_id(headers, body)
        )
    else:
        door.intake.submit(event, source)
    settled = await source.answer
    if settled.retryable:
        retry_s = door.limits.webhook_retry_after_s
        raise unavailable("not_written", settled.detail or "Try again.", retry_after_s=retry_s)
    return settled


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body.

    Raises:
        BodyTooLarge: as soon as it is, or says it is, longer than ``limit`` bytes.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


def _answer(settled: Settled) -> Response:
    answer = WebhookAnswer(settled.outcome, settled.purchase_id, settled.detail)
    return Response(msgspec.json.encode(answer), media_type="application/json")
