"""Where an operator deals with parked messages: look, try again, correct, put aside.

A retry is the ordinary transaction, which resolves the row itself: either the effect stands and the row is resolved, or
neither. A message that is still no good stays, with the newest reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from actors.hand import Action, Hand, patiently
from actors.protocol.outcome import Outcome
from actors.protocol.payments import decode_kept
from actors.protocol.undecodable import Undecodable

LIST_MAX = 500
PAYLOAD_MAX_BYTES = 1 << 20


class NotParked(Exception):
    """There is no such row, or it was dealt with already. ``state`` is its state, None for no row."""

    def __init__(self, row_id: int, state: str | None) -> None:
        super().__init__(f"parked message {row_id} is {state}" if state else f"no parked message {row_id}")
        self.state = state


class Retried(msgspec.Struct, frozen=True):
    """What became of one retry. ``resolved``: the row is dealt with; else ``detail`` says why it stays."""

    id: int
    outcome: str
    resolved: bool
    detail: str | None = None


class Page(msgspec.Struct, frozen=True):
    """Rows of one state, newest first; ``next`` continues (as ``before``)."""

    parked: list[msgspec.Raw]
    groups: list[msgspec.Raw]
    next: int | None


class Desk:
    """See the module. For one thread; every method raises `StoreError` where the database does not do its part."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def page(
        self, *, state: str = "open", group: str | None = None, before: int | None = None, most: int = 100
    ) -> Page:
        """The rows of a state, at most ``most``, and how all of that state fall into groups."""
        most = min(most, LIST_MAX)
        rows = self._hand.connection.rows
        values: dict[str, Any] = {
            "state": state,
            "group": group,
            "before": before or (1 << 62),
            "most": most + 1,
        }
        listed = [msgspec.Raw(row[0].encode()) for row in rows("parked_list", values)]
        groups = [msgspec.Raw(row[0].encode()) for row in rows("parked_groups", values)]
        following = None
        if len(listed) > most:
            listed = listed[:most]
            following = int(msgspec.json.decode(listed[-1])["id"])
        return Page(listed, groups, following)

    def show(self, row_id: int) -> dict[str, Any]:
        """One row with its payload: as JSON where it is JSON, else as text, with its bytes in hex where it is neither.

        Raises:
            NotParked: no such row.
        """
        rows = self._hand.connection.rows("parked_row", {"id": row_id})
        if not rows:
            raise NotParked(row_id, None)
        text, payload, _ = rows[0]
        row: dict[str, Any] = msgspec.json.decode(text)
        return row | _readable(bytes(payload))

    def ids(self, group: str | None, most: int = LIST_MAX) -> list[int]:
        """Open rows, all or of one group, oldest first."""
        return [row[0] for row in self._hand.connection.rows("parked_ids", {"group": group, "most": most})]

    def retry(self, row_ids: Sequence[int], action: Action) -> list[Retried]:
        """Try each again, in the order given, each in a transaction of its own.

        Raises:
            NotParked: the first that is not open; those before it were tried.
        """
        return [patiently(partial(self._retry, row_id, action)) for row_id in row_ids]

    def _retry(self, row_id: int, action: Action) -> Retried:
        with self._hand.transaction():
            payload = self._open_payload(row_id)
            try:
                event = decode_kept(payload)
            except Undecodable as reason:
                self._tried(row_id, action, None, str(reason))
                retried = Retried(row_id, Outcome.PARKED, resolved=False, detail=str(reason))
            else:
                (verdict,) = self._hand.apply([event], via="operator", parked_id=row_id)
                if verdict.outcome in {Outcome.PARKED, Outcome.CONFLICT}:
                    self._tried(row_id, action, event.payment_id, None)
                    retried = Retried(row_id, verdict.outcome, resolved=False, detail=verdict.detail)
                else:
                    if verdict.allocate and verdict.purchase_id is not None:
                        self._hand.allocate([verdict.purchase_id])
                    self._hand.connection.run("parked_resolved_by", {"id": row_id, "who": action.who})
                    retried = Retried(row_id, verdict.outcome, resolved=True, detail=verdict.detail)
            self._hand.keep(action, msgspec.to_builtins(retried))
        return retried

    def edit(self, row_id: int, payload: bytes, action: Action) -> None:
        """Put other bytes in the place of those that are no good; they must decode as a payment event.

        Raises:
            NotParked: no such row, or it is not open.
            Undecodable: naming the field that is wrong.
        """
        decode_kept(payload)
        with self._hand.transaction():
            before = self._open_payload(row_id)
            if not self._hand.connection.rows("parked_edit", {"id": row_id, "payload": payload}):
                raise NotParked(row_id, "being dealt with by another")
            self._hand.keep(action, {"before": _readable(before), "after": _readable(payload)})

    def discard(self, row_id: int, reason: str, action: Action) -> None:
        """Put a message aside for good; its row and the reason stay.

        Raises:
            NotParked: no such row, or it is not open.
        """
        with self._hand.transaction():
            self._open_payload(row_id)
            values = {"id": row_id, "who": action.who, "reason": reason}
            if not self._hand.connection.rows("parked_discard", values):
                raise NotParked(row_id, "being dealt with by another")
            self._hand.keep(action, {"id": row_id, "reason": reason})

    def _open_payload(self, row_id: int) -> bytes:
        rows = self._hand.connection.rows("parked_payload", {"id": row_id})
        if not rows or rows[0][1] != "open":
            raise NotParked(row_id, rows[0][1] if rows else None)
        return bytes(rows[0][0])

    def _tried(self, row_id: int, action: Action, payment_id: str | None, reason: str | None) -> None:
        values = {"id": row_id, "payment_id": payment_id, "reason": reason, "who": action.who}
        self._hand.connection.run("parked_tried", values)


def _readable(payload: bytes) -> dict[str, Any]:
    try:
        return {"payload": msgspec.json.decode(payload)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return {"payload_text": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_hex": payload.hex()}
