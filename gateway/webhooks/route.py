"""``POST /api/v1/webhooks/{provider}``: check the bytes, hand the event in, answer when it stands in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors.protocol.outcome import Settled
from actors.protocol.undecodable import Undecodable
from gateway.door import Door
from gateway.headers import SAFE_HEADERS, SafeHeaders
from gateway.problem import Problem, crash, unavailable
from gateway.shapes import WebhookAnswer
from gateway.webhooks.body import whole_body
from gateway.webhooks.provider import BadSignature, Provider
from gateway.webhooks.repeats import RepeatBrake
from gateway.webhooks.waiting import Deadlines, Verdict, WaitingWebhook

WEBHOOKS: Final = "/api/v1/webhooks/"
ANSWER_HEADERS: Final = ((b"content-type", b"application/json"), *SAFE_HEADERS)


class Answer(NamedTuple):
    """What goes back to the provider. ``headers`` are without the body's length."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


async def unknown_provider(_request: Request) -> Response:
    """The route of every provider that has no :class:`Entrance`."""
    raise Problem(404, "unknown_provider", "No webhook of this provider is set up here.")


class Entrance:
    """Where one provider's webhooks come in, by either of two ways that differ only in what they cost.

    Called, it is an ASGI application without middleware or routing around it: of all requests these are the most, and
    around them Starlette's layers took about as long as the work itself (64 microseconds of CPU a webhook in the whole
    application, 33 by this way). :meth:`take` is for a server that has the whole request at hand.
    """

    def __init__(self, door: Door, provider: Provider) -> None:
        self._door, self._provider = door, provider
        limits = door.limits
        self._deadlines = Deadlines(door.bridge, limits.webhook_deadline_s, partial(_too_late, door))
        self._brake = RepeatBrake(
            limits.webhook_repeats_per_s, limits.webhook_repeats_burst, limits.webhook_repeat_pause_s
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            verdict: Verdict = await self._receive(Headers(raw=scope["headers"]), receive)
        except Exception as error:  # noqa: BLE001 - answered as what it is
            verdict = error
        if isinstance(verdict, Problem):
            self._door.metrics.webhook(self._provider.name, verdict.code)
            await SafeHeaders(verdict.response())(scope, receive, send)
            return
        if pause_s := self._pause_s(verdict, asyncio.get_running_loop().time()):
            await asyncio.sleep(pause_s)
        status, headers, body = self._answer(verdict)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})

    @property
    def body_max_bytes(self) -> int:
        """The longest body that :meth:`take` may be given."""
        return self._door.limits.webhook_body_bytes

    def take(self, headers: Headers, body: bytes, reply: Callable[[Answer], None]) -> None:
        """As the call, without a task or a future. In the loop; ``reply`` is called there, once: now or later."""
        door = self._door
        try:
            _admit(door)
        except Problem as refusal:
            reply(self._answer(refusal))
            return
        door.webhooks_in_flight += 1
        source = WaitingWebhook(door.bridge, partial(self._end, reply))
        try:
            _hand_in(door, self._provider, headers, body, source)
        except Exception as error:  # noqa: BLE001 - answered as what it is
            source.end(error)
        else:
            self._deadlines.watch(source)

    def _end(self, reply: Callable[[Answer], None], verdict: Verdict) -> None:
        self._door.webhooks_in_flight -= 1
        loop = self._door.bridge.loop
        if loop is not None and (pause_s := self._pause_s(verdict, loop.time())):
            loop.call_later(pause_s, lambda: reply(self._answer(verdict)))
        else:
            reply(self._answer(verdict))

    def _pause_s(self, verdict: Verdict, now_s: float) -> float:
        """How long to keep an answer; what was not written is answered at once."""
        if not isinstance(verdict, Settled) or verdict.retryable or verdict.purchase_id is None:
            return 0.0
        pause_s = self._brake.pause_s(verdict.purchase_id, now_s)
        if pause_s:
            self._door.metrics.webhook_spaced(self._provider.name)
        return pause_s

    def _answer(self, verdict: Verdict) -> Answer:
        """Count a verdict, and put it into words."""
        if isinstance(verdict, Settled):
            if not verdict.retryable:
                self._door.metrics.webhook(self._provider.name, verdict.outcome.value)
                said = WebhookAnswer(verdict.outcome, verdict.purchase_id, verdict.detail)
                return Answer(200, ANSWER_HEADERS, msgspec.json.encode(said))
            verdict = _not_written(self._door, verdict)
        problem = (
            verdict
            if isinstance(verdict, Problem)
            else crash(f"POST {WEBHOOKS}{self._provider.name}", verdict)
        )
        self._door.metrics.webhook(self._provider.name, problem.code)
        document = problem.response()
        headers = tuple(header for header in document.raw_headers if header[0] != b"content-length")
        return Answer(problem.status, (*headers, *SAFE_HEADERS), bytes(document.body))

    async def _receive(self, headers: Headers, receive: Receive) -> Settled:
        door = self._door
        _admit(door)
        door.webhooks_in_flight += 1
        try:
            async with asyncio.timeout(door.limits.webhook_deadline_s):
                body = await whole_body(headers, receive, door.limits.webhook_body_bytes)
                return await accept_signed(door, self._provider, headers, body)
        except TimeoutError as late:
            raise _too_late(door) from late
        except ClientDisconnect as gone:
            raise Problem(400, "incomplete_body", "The body ended early.") from gone
        finally:
            door.webhooks_in_flight -= 1


async def accept_signed(door: Door, provider: Provider, headers: Any, body: bytes) -> Settled:
    """Check, translate, hand in, and wait for the verdict.

    Raises:
        Problem: 400 for a bad signature, 503 when nothing was written.
    """
    verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    source = WaitingWebhook(door.bridge, partial(_resolve, verdict))
    _hand_in(door, provider, headers, body, source)
    settled = await verdict
    if isinstance(settled, Exception):
        raise settled
    if settled.retryable:
        raise _not_written(door, settled)
    return settled


def _resolve(future: asyncio.Future[Verdict], verdict: Verdict) -> None:
    if not future.done():
        future.set_result(verdict)


def _admit(door: Door) -> None:
    if door.draining:
        raise unavailable("draining", "This node is stopping.", retry_after_s=1)
    if door.webhooks_in_flight >= door.limits.webhooks_in_flight:
        raise unavailable("too_many_webhooks", "Too many webhooks wait for their commit.", retry_after_s=1)


def _hand_in(door: Door, provider: Provider, headers: Any, body: bytes, source: WaitingWebhook) -> None:
    try:
        provider.check(headers, body, door.wall())
    except BadSignature as bad:
        raise Problem(400, "bad_signature", str(bad)) from bad
    try:
        event = provider.translate(headers, body)
    except Undecodable as reason:
        door.intake.park(
            body, reason, source, provider=provider.name, event_id=provider.event_id(headers, body)
        )
    else:
        door.intake.submit(event, source)


def _too_late(door: Door) -> Problem:
    return unavailable(
        "no_commit_in_time", "No commit in time.", retry_after_s=door.limits.webhook_retry_after_s
    )


def _not_written(door: Door, settled: Settled) -> Problem:
    return unavailable(
        "not_written", settled.detail or "Try again.", retry_after_s=door.limits.webhook_retry_after_s
    )
