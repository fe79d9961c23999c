"""``POST /api/v1/webhooks/{provider}``: check the bytes, hand the event in, answer when it stands in the database."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors.protocol.outcome import Settled
from actors.protocol.undecodable import Undecodable
from gateway.bridge import Bridge
from gateway.door import Door
from gateway.headers import SAFE_HEADERS, SafeHeaders
from gateway.problem import Problem, on_crash, unavailable
from gateway.shapes import WebhookAnswer
from gateway.toolarge import BodyTooLarge
from gateway.webhooks.provider import BadSignature, Provider

WEBHOOKS: Final = "/api/v1/webhooks/"
ANSWER_HEADERS: Final = ((b"content-type", b"application/json"), *SAFE_HEADERS)


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


async def unknown_provider(_request: Request) -> Response:
    """The route of every provider that has no :class:`Entrance`."""
    raise Problem(404, "unknown_provider", "No webhook of this provider is set up here.")


class Entrance:
    """Where one provider's webhooks come in: an ASGI application without middleware or routing around it.

    Of all requests these are the most, and each holds a payment. Around them, Starlette's layers took about as long as
    the work itself: 64 microseconds of CPU a webhook in the whole application, 33 by this way.
    """

    def __init__(self, door: Door, provider: Provider) -> None:
        self._door, self._provider = door, provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._provider.name
        try:
            settled = await self._receive(Headers(raw=scope["headers"]), receive)
        except Problem as problem:
            self._door.metrics.webhook(name, problem.code)
            await SafeHeaders(problem.response())(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 - a bug, and the sender is to hear of it
            self._door.metrics.webhook(name, "internal_error")
            await SafeHeaders(await on_crash(Request(scope), error))(scope, receive, send)
            return
        self._door.metrics.webhook(name, settled.outcome.value)
        body = msgspec.json.encode(WebhookAnswer(settled.outcome, settled.purchase_id, settled.detail))
        headers = [*ANSWER_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _receive(self, headers: Headers, receive: Receive) -> Settled:
        door = self._door
        if door.draining:
            raise unavailable("draining", "This node is stopping.", retry_after_s=1)
        if door.webhooks_in_flight >= door.limits.webhooks_in_flight:
            raise unavailable(
                "too_many_webhooks", "Too many webhooks wait for their commit.", retry_after_s=1
            )
        door.webhooks_in_flight += 1
        try:
            async with asyncio.timeout(door.limits.webhook_deadline_s):
                body = await whole_body(headers, receive, door.limits.webhook_body_bytes)
                return await accept_signed(door, self._provider, headers, body)
        except TimeoutError as late:
            retry_s = door.limits.webhook_retry_after_s
            raise unavailable("no_commit_in_time", "No commit in time.", retry_after_s=retry_s) from late
        except ClientDisconnect as gone:
            raise Problem(400, "incomplete_body", "The body ended early.") from gone
        finally:
            door.webhooks_in_flight -= 1


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
    """The raw body of a request that came by a route; as :func:`whole_body`."""
    return await whole_body(request.headers, request.receive, limit)


async def whole_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The raw body.

    Raises:
        BodyTooLarge: as soon as it is, or says it is, longer than ``limit`` bytes.
        ClientDisconnect: the sender left before its end.
    """
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(limit)
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        body = body + part if body else part
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return body
