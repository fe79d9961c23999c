"""``kcactors parked list | show | retry | edit | discard``: dead letters, from a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from actors.hand import Action
from actors.parking.desk import Desk, NotParked
from actors.protocol.undecodable import Undecodable
from gateway.webhooks.kept import read_kept
from kcactors.exits import Exit, WrongUse
from kcactors.output import Output
from kcactors.verbs import hands

STATES = ("open", "resolved", "discarded")


def show_list(output: Output, *, state: str, group: str | None, most: int) -> Exit:
    """The verb ``parked list``: the groups, then the rows. Exit 0 whatever is there."""
    if state not in STATES:
        raise WrongUse(f"--state: {state!r} given, expected one of {', '.join(STATES)}")
    with _desk(aloud=False) as desk:
        page = desk.page(state=state, group=group, most=most)
    rows: list[dict[str, Any]] = [msgspec.json.decode(row) for row in page.parked]
    groups: list[dict[str, Any]] = [msgspec.json.decode(row) for row in page.groups]
    document = {"ok": True, "parked": rows, "groups": groups, "next": page.next}
    output.result(document, _table(rows))
    for each in groups:
        output.say(f"{each['count']} of {each['group']}")
    return Exit.DONE


def show(output: Output, row_id: int) -> Exit:
    """The verb ``parked show``."""
    with _desk(aloud=False) as desk:
        row = desk.show(row_id)
    text = msgspec.json.format(msgspec.json.encode(row), indent=2).decode()
    output.result({"ok": True, **row}, text)
    return Exit.DONE


def retry(
    output: Output, row_ids: Sequence[int], *, group: str | None, everything: bool, who: str | None
) -> Exit:
    """The verb ``parked retry``: those named, or a group, or all. Exit 1 when one of them stays parked."""
    if bool(row_ids) + bool(group) + everything != 1:
        raise WrongUse("name parked messages, or --group GROUP, or --all")
    with _desk(aloud=True) as desk:
        wanted = list(row_ids) or desk.ids(group)
        action = Action(hands.whoever(who), "parked retry", {"ids": wanted})
        retried = []
        with output.progress("Retrying", len(wanted)) as bar:
            for done, row_id in enumerate(wanted, start=1):
                retried += desk.retry([row_id], action)
                bar(done)
    left = sum(not each.resolved for each in retried)
    lines = [f"{each.id}: {each.outcome}{f' ({each.detail})' if each.detail else ''}" for each in retried]
    output.result(
        {"ok": not left, "retried": msgspec.to_builtins(retried), "left": left},
        "\n".join(lines) or "nothing is parked",
    )
    return Exit.NOT_KEPT if left else Exit.DONE


def edit(output: Output, row_id: int, file: Path, *, who: str | None, reason: str | None) -> Exit:
    """The verb ``parked edit``: the payload becomes what is in the file (``-``: standard input)."""
    try:
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise WrongUse(f"{file}: {error.strerror}") from error
    with _desk(aloud=False) as desk:
        try:
            desk.edit(
                row_id, payload, Action(hands.whoever(who), "parked edit", {"id": row_id, "reason": reason})
            )
        except Undecodable as error:
            raise WrongUse(f"{file}: {error}") from error
    output.result(
        {"ok": True, "id": row_id}, f"{row_id} has the new payload; `parked retry {row_id}` tries it"
    )
    return Exit.DONE


def discard(output: Output, row_ids: Sequence[int], *, reason: str, who: str | None) -> Exit:
    """The verb ``parked discard``."""
    if not reason.strip():
        raise WrongUse("--reason: say why nobody will miss it")
    with _desk(aloud=False) as desk:
        action = Action(hands.whoever(who), "parked discard", {"ids": list(row_ids)})
        for row_id in row_ids:
            desk.discard(row_id, reason, action)
    output.result({"ok": True, "discarded": list(row_ids)}, f"{len(row_ids)} discarded")
    return Exit.DONE


@contextmanager
def _desk(*, aloud: bool) -> Iterator[Desk]:
    with hands.hand(hands.settings_for(aloud=aloud), aloud=aloud) as hand:
        try:
            yield Desk(hand, read_kept)
        except NotParked as error:
            raise WrongUse(str(error)) from error


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "group", "reason", "payment", "tries", "since"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            str(row["id"]),
            row["group"],
            f"{row['reason']} {row['field'] or ''}".strip()[:100],
            row["payment_id"] or "",
            str(row["attempts"]),
            row["first_at"][:19],
        )
    return table
