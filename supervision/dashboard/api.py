"""The JSON twins of the pages, for programs with a bearer token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from supervision.dashboard import look
from supervision.dashboard.access import Audit, Deed, Operator, Refused, Verify, bearer, record
from supervision.dashboard.acts import act
from supervision.dashboard.meter import Meter
from supervision.dashboard.pulse import Pulse
from supervision.dashboard.stream import Viewers, event, incidents_into
from supervision.dashboard.tree import plain
from supervision.dashboard.watch import Watch
from supervision.system import Order, System

NO_STORE: Final = {"cache-control": "no-store"}
LIMIT_MAX: Final = 500
STREAM: Final = {**NO_STORE, "x-accel-buffering": "no"}


class Api:
    """The handlers; every one needs an operator.

    Args:
        node: this process's name.
        wall: Unix seconds, for the end of tokens.
    """

    def __init__(
        self,
        *,
        node: str,
        system: System,
        pulse: Pulse,
        meter: Meter,
        watch: Watch,
        viewers: Viewers,
        verify: Verify,
        audit: Audit,
        wall: Callable[[], float],
    ) -> None:
        self._node, self._system, self._pulse, self._meter, self._watch = node, system, pulse, meter, watch
        self._viewers, self._verify, self._audit, self._wall = viewers, verify, audit, wall

    async def tree(self, request: Request) -> Response:
        """The node's name, its tree, and its figures."""
        await bearer(request, self._verify)
        return _answer(await asyncio.to_thread(self._document))

    async def actors(self, request: Request) -> Response:
        """The most noticeable actors (``order``, ``limit``), or those that ``q`` finds."""
        await bearer(request, self._verify)
        order = request.query_params.get("order", "oldest")
        if order not in get_args(Order):
            raise Refused(400, "bad_parameter", f"order is one of {', '.join(get_args(Order))}.")
        limit = _limit(request, 20)
        text = request.query_params.get("q")
        top = self._system.top(order, limit)  # type: ignore[arg-type]
        found = top if text is None else look.search(self._system, text, limit)
        return _json({"node": self._node, "order": order, "actors": found})

    async def actor(self, request: Request) -> Response:
        """One actor."""
        await bearer(request, self._verify)
        return _json(look.detail(self._system, self._ref(request), self._watch))

    async def act(self, request: Request) -> Response:
        """Tell one actor what to do; its node afterwards."""
        operator = await bearer(request, self._verify)
        ref = self._ref(request)
        verb = request.path_params["verb"]
        await act(self._system, ref, verb, operator.name)
        state = look.state(ref)
        deed = Deed(operator.name, f"actor {verb}", {"path": ref.path}, {"state": state})
        recorded = await record(self._audit, deed)
        return _json({"path": ref.path, "act": verb, "state": state, "recorded": recorded})

    async def incidents(self, request: Request) -> Response:
        """The newest incidents."""
        await bearer(request, self._verify)
        found = [
            look.incident_of(self._system, one) for one in self._system.vitals.incidents(_limit(request, 100))
        ]
        return _json({"node": self._node, "incidents": found})

    async def stream(self, request: Request) -> Response:
        """Server-sent events: ``snapshot`` every period, ``incident`` as they happen."""
        operator = await bearer(request, self._verify)
        seat = self._viewers.take()
        return StreamingResponse(
            seat.holding(self._events(operator, seat.lease_s)), headers=STREAM, media_type="text/event-stream"
        )

    async def _events(self, operator: Operator, lease_s: float) -> AsyncIterator[str]:
        ends_at = min(operator.expires_at, self._wall() + lease_s)
        with incidents_into(self._system) as happened:
            yield event("retry", None)
            while self._wall() < ends_at and not self._viewers.closed:
                yield event("snapshot", (await asyncio.to_thread(self._document)).decode())
                due = self._wall() + self._viewers.every_s
                while (left_s := due - self._wall()) > 0:
                    try:
                        incident = await asyncio.wait_for(happened.get(), left_s)
                    except TimeoutError:
                        break
                    yield event(
                        "incident", msgspec.json.encode(look.incident_of(self._system, incident)).decode()
                    )
            yield event("lease-over", "{}")

    def _document(self) -> bytes:
        with self._meter.measured():
            return msgspec.json.encode(self._tree())

    def _tree(self) -> dict[str, Any]:
        sample = self._pulse.sample()
        return {
            "node": self._node,
            "at": look.moment(self._system, sample.at_s),
            "figures": {
                "rate_per_s": round(sample.rate_per_s, 3),
                "actors": sample.actors,
                "depth": sample.depth,
                "oldest_s": sample.oldest_s,
                "restarts": sample.restarts,
                "dead_letters": sample.dead_letters,
                "parked": sample.parked,
                "conservation_error": sample.conservation_error,
                "dashboard_cpu_share": round(sample.cost.of_core, 6),
                "dashboard_cpu_share_of_process": round(sample.cost.of_process, 6),
                "dashboard_cpu_s": round(self._meter.total_s, 6),
                "process_cpu_s": round(time.process_time(), 6),
            },
            "root": plain(sample.root),
        }

    def _ref(self, request: Request) -> Any:
        path = request.path_params["path"]
        ref = look.find(self._system, path)
        if ref is None:
            raise Refused(404, "no_such_actor", f"There is no actor {path!r} now.")
        return ref


def _json(document: Any) -> Response:
    return _answer(msgspec.json.encode(document))


def _answer(text: bytes) -> Response:
    return Response(text, headers=NO_STORE, media_type="application/json")


def _limit(request: Request, default: int) -> int:
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LIMIT_MAX):
        raise Refused(400, "bad_parameter", f"limit is a number from 1 to {LIMIT_MAX}.")
    return int(text)
