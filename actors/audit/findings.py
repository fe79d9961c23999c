"""Findings: what looks found, kept with age and state until a later look does not find it any more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.audit.checks import Looked
from actors.store.connection import Connection


class OpenFindings(msgspec.Struct, frozen=True):
    """Open findings of one kind: how many, and the age of the oldest in seconds."""

    kind: str
    count: int
    oldest_s: float


def record(connection: Connection, looked: Looked, mended: Sequence[str] = ()) -> None:
    """Keep what a look found. What it did not find any more is ``fixed`` where it was brought again, else ``gone``.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    cases = [
        {"subject": case.subject, "detail": case.detail, "since": case.since.isoformat()}
        for case in looked.cases
    ]
    values = {
        "kind": looked.check.kind,
        "cases": msgspec.json.encode(cases).decode(),
        "mended": list(mended),
        "complete": looked.complete,
    }
    connection.run("audit_record", values)


def open_findings(connection: Connection) -> list[OpenFindings]:
    """The open findings by kind, also of kinds that no check here looks for."""
    return [OpenFindings(*row) for row in connection.rows("audit_open")]
