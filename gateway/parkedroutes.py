"""Parked messages over HTTP, for operators: the same desk as the command line's, in a thread of its own per request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from actors.hand import Action
from actors.parking.desk import LIST_MAX, PAYLOAD_MAX_BYTES, Desk, NotParked
from actors.protocol.undecodable import Undecodable
from actors.store.errors import Contended, DatabaseAway
from gateway.access import operator_of
from gateway.door import Door
from gateway.operations import PARKED
from gateway.parkedshapes import DiscardReason, State
from gateway.problem import Problem, unavailable
from gateway.webhooks.body import read_body

STATES: Final = get_args(State)
ID_MAX: Final = 2**63 - 1
DESKS_MAX: Final = 4
"""Requests at the desk at once; each takes a thread and a connection."""

_T = TypeVar("_T")
OpenDesk = Callable[[], AbstractContextManager[Desk]]


class ParkedRoutes:
    """The routes. ``open_desk`` gives a desk with a connection of its own, for one thread."""

    def __init__(self, open_desk: OpenDesk) -> None:
        self._open_desk = open_desk
        self._desks = asyncio.Semaphore(DESKS_MAX)

    def routes(self) -> Sequence[BaseRoute]:
        """To be mounted beside the gateway's own."""
        return [
            Route(PARKED, self.listed),
            # One route for both, so that a refused method is told of both.
            Route(PARKED + "/{row_id:int}", self.one, methods=["GET", "PUT"]),
            Route(PARKED + "/{row_id:int}/retry", self.retried, methods=["POST"]),
            Route(PARKED + "/{row_id:int}/discard", self.discarded, methods=["POST"]),
        ]

    async def listed(self, request: Request) -> Response:
        """``GET /api/v1/parked[?state=open][&group=][&before=][&limit=100]``."""
        await _operator(request)
        state = request.query_params.get("state", "open")
        if state not in STATES:
            raise Problem(400, "bad_parameter", f"state must be one of {', '.join(STATES)}.")
        before = _number(request, "before", None, ID_MAX)
        most = _number(request, "limit", 100, LIST_MAX) or 100
        group = request.query_params.get("group")
        return _json(
            await self._at(lambda desk: desk.page(state=state, group=group, before=before, most=most))
        )

    async def one(self, request: Request) -> Response:
        """``GET /api/v1/parked/{id}``: one row with its payload. ``PUT``: :meth:`edited`."""
        if request.method == "PUT":
            return await self.edited(request)
        await _operator(request)
        row_id = _row_id(request)
        return _json(await self._at(lambda desk: desk.show(row_id)))

    async def retried(self, request: Request) -> Response:
        """``POST /api/v1/parked/{id}/retry``: ``{"id", "outcome", "resolved", "detail"}``."""
        who = await _operator(request)
        row_id = _row_id(request)
        action = Action(who, "parked retry", {"id": row_id})
        (done,) = await self._at(lambda desk: desk.retry([row_id], action))
        return _json(done)

    async def edited(self, request: Request) -> Response:
        """``PUT /api/v1/parked/{id}``: the body is the new payload, a payment event; the row is the answer."""
        who = await _operator(request)
        row_id = _row_id(request)
        payload = await read_body(request, PAYLOAD_MAX_BYTES)
        action = Action(who, "parked edit", {"id": row_id})

        def edit(desk: Desk) -> dict[str, Any]:
            desk.edit(row_id, payload, action)
            return desk.show(row_id)

        return _json(await self._at(edit))

    async def discarded(self, request: Request) -> Response:
        """``POST /api/v1/parked/{id}/discard``, with ``{"reason"}`` or no body; the row is the answer."""
        who = await _operator(request)
        row_id = _row_id(request)
        body = await read_body(request, 16_384)
        try:
            reason = msgspec.json.decode(body, type=DiscardReason).reason if body else "no reason given"
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, "reason_missing", f'Send {{"reason": "…"}}: {error}') from error
        action = Action(who, "parked discard", {"id": row_id})

        def discard(desk: Desk) -> dict[str, Any]:
            desk.discard(row_id, reason, action)
            return desk.show(row_id)

        return _json(await self._at(discard))

    async def _at(self, work: Callable[[Desk], _T]) -> _T:
        def sit() -> _T:
            with self._open_desk() as desk:
                return work(desk)

        try:
            async with self._desks:
                return await asyncio.to_thread(sit)
        except NotParked as error:
            status, code = (404, "not_found") if error.state is None else (409, "not_open")
            raise Problem(status, code, f"{error}.") from error
        except Undecodable as error:
            raise Problem(422, "undecodable", str(error), extra={"field": error.field}) from error
        except (DatabaseAway, Contended) as error:
            raise unavailable("database_away", "The database does not answer.") from error


async def _operator(request: Request) -> str:
    door: Door = request.app.state.door
    return (await operator_of(request, door.tokens)).subject


def _row_id(request: Request) -> int:
    row_id: int = request.path_params["row_id"]
    if row_id > ID_MAX:
        raise Problem(404, "not_found", "No such parked message.")
    return row_id


def _number(request: Request, name: str, default: int | None, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= most):
        raise Problem(400, "bad_parameter", f"{name} must be an integer from 1 to {most}.")
    return int(text)


def _json(answer: object) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(answer), headers=headers, media_type="application/json")
