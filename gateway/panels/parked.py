"""Parked messages: why they wait, what is in them, and what to do about it, at the same desk as the routes'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import jinja2
import msgspec
from markupsafe import Markup

from actors.hand import Action
from actors.parking.desk import LIST_MAX, Desk, NotParked
from actors.protocol.undecodable import Undecodable
from actors.store.errors import Contended, DatabaseAway
from gateway.parkedroutes import ID_MAX, STATES, OpenDesk
from supervision.dashboard import Refused, View
from supervision.dashboard.page import render

SHOWN: Final = 50
FRESH_S: Final = 3.0
"""However many look, the database is asked once in so long for each view."""
VIEWS_KEPT: Final = 20
REASON_MAX: Final = 2_000

_T = TypeVar("_T")


class ParkedPage:
    """Groups by reason (``group``, ``state``), one message in full (``id``); retry, edit and discard.

    Args:
        open_desk: gives a desk with a connection of its own, for one thread.
    """

    slug = "parked"
    title = "Parked"

    def __init__(
        self, open_desk: OpenDesk, env: jinja2.Environment, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_desk = open_desk
        self._env = env
        self._now = now
        self._at_desk = asyncio.Lock()
        self._seen: dict[tuple[str, str, int | None], tuple[float, dict[str, Any]]] = {}

    async def body(self, view: View) -> Markup:
        """The page."""
        state = view.query.get("state", "open")
        group = view.query.get("group", "")
        row_id = _row_id(view.query["id"]) if view.query.get("id") else None
        if state not in STATES:
            state = "open"
        try:
            found = await self._found(state, group, row_id)
        except Refused as refused:
            return render(self._env, "parked_away.html", view=view, detail=refused.detail)
        return render(
            self._env,
            "parked.html",
            view=view,
            state=state,
            states=STATES,
            group=group,
            at=_at(view),
            **found,
        )

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """``retry`` (id), ``retry-group`` (group), ``edit`` (id, payload), ``discard`` (id, reason)."""
        who = view.operator.name
        if verb == "retry-group":
            group = form.get("group", "")
            done = await self._at(lambda desk: _retry_group(desk, group, who))
        elif verb in {"retry", "edit", "discard"}:
            done = await self._at(_one(verb, _row_id(form.get("id", "")), form, who))
        else:
            raise Refused(404, "unknown_act", f"The parked page has no action {verb!r}.")
        self._seen.clear()
        return done

    async def _found(self, state: str, group: str, row_id: int | None) -> dict[str, Any]:
        key = (state, group, row_id)
        kept = self._seen.get(key)
        if kept is not None and self._now() - kept[0] < FRESH_S:
            return kept[1]

        def look(desk: Desk) -> dict[str, Any]:
            page = desk.page(state=state, group=group or None, most=SHOWN)
            row: dict[str, Any] | None = None
            if row_id is not None:
                try:
                    row = desk.show(row_id)
                except NotParked:
                    row = None
            return {
                "rows": [msgspec.json.decode(one) for one in page.parked],
                "groups": [msgspec.json.decode(one) for one in page.groups],
                "more": page.next is not None,
                "row": row,
                "text": _text(row) if row is not None else "",
            }

        found = await self._at(look)
        while len(self._seen) >= VIEWS_KEPT:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = self._now(), found
        return found

    async def _at(self, work: Callable[[Desk], _T]) -> _T:
        def sit() -> _T:
            with self._open_desk() as desk:
                return work(desk)

        try:
            async with self._at_desk:
                return await asyncio.to_thread(sit)
        except NotParked as error:
            raise Refused(409, "not_open", f"{error}.") from error
        except Undecodable as error:
            raise Refused(422, "undecodable", f"It cannot be read as a payment event: {error}") from error
        except (DatabaseAway, Contended) as error:
            raise Refused(503, "database_away", "The database does not answer.") from error


def _one(verb: str, row_id: int, form: Mapping[str, str], who: str) -> Callable[[Desk], str]:
    action = Action(who, f"parked {verb}", {"id": row_id})

    def retry(desk: Desk) -> str:
        (done,) = desk.retry([row_id], action)
        return (
            f"Message {row_id}: {done.outcome}."
            if done.resolved
            else f"Message {row_id} stays: {done.detail}"
        )

    def edit(desk: Desk) -> str:
        desk.edit(row_id, form.get("payload", "").encode(), action)
        return f"Message {row_id} is corrected; retry it now."

    def discard(desk: Desk) -> str:
        reason = form.get("reason", "").strip()
        if not reason or len(reason) > REASON_MAX:
            raise Refused(
                400, "reason_missing", f"Say why nobody will miss it, in at most {REASON_MAX} characters."
            )
        desk.discard(row_id, reason, action)
        return f"Message {row_id} is put aside."

    return {"retry": retry, "edit": edit, "discard": discard}[verb]


def _retry_group(desk: Desk, group: str, who: str) -> str:
    ids = desk.ids(group or None, LIST_MAX)
    done = desk.retry(ids, Action(who, "parked retry", {"group": group, "ids": len(ids)}))
    resolved = sum(one.resolved for one in done)
    return f"{resolved} of {len(done)} are dealt with."


def _row_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= ID_MAX):
        raise Refused(400, "bad_parameter", "id is the number of a parked message.")
    return int(text)


def _at(view: View) -> int | None:
    text = view.query.get("id", "")
    return int(text) if text.isdigit() else None


def _text(row: Mapping[str, Any]) -> str:
    """The payload for a person: JSON laid out, text as it is, else its bytes in hex."""
    if "payload" in row:
        return msgspec.json.format(msgspec.json.encode(row["payload"]), indent=2).decode()
    return str(row.get("payload_text", row.get("payload_hex", "")))
