"""One whole audit: every check, its findings kept, and with ``fix`` the mending and a second look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from actors.audit.checks import CHECKS, AuditLimits, Case, look
from actors.audit.findings import record
from actors.audit.mend import mend
from actors.hand import Action, Hand, patiently


class Line(msgspec.Struct, frozen=True):
    """What became of one check: the findings that stand, the age of the oldest, and how many effects mending made."""

    code: str
    kind: str
    help: str
    open: int
    oldest_s: float
    mended: int
    findings: list[Case]


def audit(
    hand: Hand,
    limits: AuditLimits,
    now: Callable[[], datetime],
    *,
    fix: Action | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Line]:
    """Ask every question once.

    Args:
        hand: does the looking and the mending.
        limits: how old a thing must be.
        now: the time, for ages.
        fix: mend what is safe to mend, in the name of this action; ``None`` only looks.
        progress: told how many checks are done.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    lines: list[Line] = []
    for done, check in enumerate(CHECKS, start=1):
        looked = look(hand.connection, check, limits)
        mended = 0
        if fix is not None and check.mends and looked.cases:
            tried = [case.subject for case in looked.cases]
            mended = patiently(partial(mend, hand, looked))
            looked = look(hand.connection, check, limits)
            record(hand.connection, looked, tried)
        else:
            record(hand.connection, looked)
        oldest_s = max(((now() - case.since).total_seconds() for case in looked.cases), default=0.0)
        lines.append(
            Line(
                check.code,
                check.kind,
                check.help,
                len(looked.cases),
                max(0.0, oldest_s),
                mended,
                looked.cases,
            )
        )
        progress(done)
    if fix is not None and any(line.mended for line in lines):
        hand.keep(fix, {line.kind: line.mended for line in lines if line.mended})
    return lines
