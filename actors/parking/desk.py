"""Where an operator deals with parked messages: look, try again, correct, put aside.

A retry is the ordinary transaction, which resolves the row itself: either the effect stands and the row is resolved, or
neither. A message that is still no good stays, with the newest reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec

from actors.hand import Action, Hand, patiently
from actors.protocol.outcome import Outcome
from actors.protocol.payments import PaymentEvent, PaymentUnnamed, decode_kept
from actors.protocol.undecodable import Undecodable
from actors.store.errors import BadData

LIST_MAX = 500
PAYLOAD_MAX_BYTES = 1 << 20

ReadKept: TypeAlias = Callable[[str | None, str | None, bytes], PaymentEvent]
"""From the provider, the event id and the bytes of a parked row to its event; raises `Undecodable`."""


class NotParked(Exception):
    """There is no such row, or it was dealt with already. ``state`` is its state, None for no row."""

    def __init__(self, row_id: int, state: str | None) -> None:
        super().__init__(f"parked message {row_id} is {state}" if state else f"no parked message {row_id}")
        self.state = state


class _Kept(NamedTuple):
    payload: bytes
    provider: str | None
    event_id: str | None


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


def read_ours(_provider: str | None, _event_id: str | None, payload: bytes) -> PaymentEvent:
    """Reads our own events and no provider's."""
    return decode_kept(payload)


class Desk:
    """See the module. For one thread; every method raises `StoreError` where the database does not do its part.

    Args:
        read: reads what was parked; what a provider sent is for a room above this one.
    """

    def __init__(self, hand: Hand, read: ReadKept = read_ours) -> None:
        self._hand = hand
        self._read = read

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
        return [patiently(partial(self._retry_once, row_id, action)) for row_id in row_ids]

    def _retry_once(self, row_id: int, action: Action) -> Retried:
        try:
            return self._retry(row_id, action)
        except BadData as refused:
            # What the transaction wrote is undone; that it was tried is written down in one of its own.
            with self._hand.transaction():
                self._open_row(row_id)
                self._tried(row_id, action, None, str(refused))
                retried = Retried(row_id, Outcome.PARKED, resolved=False, detail=str(refused))
                self._hand.keep(action, msgspec.to_builtins(retried))
            return retried

    def _retry(self, row_id: int, action: Action) -> Retried:
        with self._hand.transaction():
            kept = self._open_row(row_id)
            try:
                event = self._read(kept.provider, kept.event_id, kept.payload)
            except Undecodable as reason:
                self._tried(row_id, action, None, str(reason))
                retried = Retried(row_id, Outcome.PARKED, resolved=False, detail=str(reason))
            else:
                (verdict,) = self._hand.apply([event], via="operator", parked_id=row_id)
                if verdict.allocate and verdict.purchase_id is not None:
                    self._hand.allocate([verdict.purchase_id])
                who = {"id": row_id, "who": action.who}
                resolved = bool(self._hand.connection.rows("parked_resolved_by", who))
                if not resolved:
                    self._tried(row_id, action, event.payment_id, None)
                retried = Retried(row_id, verdict.outcome, resolved=resolved, detail=verdict.detail)
            self._hand.keep(action, msgspec.to_builtins(retried))
        return retried

    def edit(self, row_id: int, payload: bytes, action: Action) -> None:
        """Put other bytes in the place of those that are no good: a payment event, or the provider's body corrected.

        Raises:
            NotParked: no such row, or it is not open.
            Undecodable: naming the field that is wrong.
        """
        with self._hand.transaction():
            kept = self._open_row(row_id)
            event = self._read(kept.provider, kept.event_id, payload)
            if isinstance(event, PaymentUnnamed):
                raise Undecodable(event.field, event.reason)
            if not self._hand.connection.rows("parked_edit", {"id": row_id, "payload": payload}):
                raise NotParked(row_id, "being dealt with by another")
            self._hand.keep(action, {"before": _readable(kept.payload), "after": _readable(payload)})

    def discard(self, row_id: int, reason: str, action: Action) -> None:
        """Put a message aside for good; its row and the reason stay.

        Raises:
            NotParked: no such row, or it is not open.
        """
        with self._hand.transaction():
            self._open_row(row_id)
            values = {"id": row_id, "who": action.who, "reason": reason}
            if not self._hand.connection.rows("parked_discard", values):
                raise NotParked(row_id, "being dealt with by another")
            self._hand.keep(action, {"id": row_id, "reason": reason})

    def _open_row(self, row_id: int) -> _Kept:
        rows = self._hand.connection.rows("parked_payload", {"id": row_id})
        if not rows or rows[0][1] != "open":
            raise NotParked(row_id, rows[0][1] if rows else None)
        payload, _, provider, event_id = rows[0]
        return _Kept(bytes(payload), provider, event_id)

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
