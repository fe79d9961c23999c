"""``kcactors audit``: every check as a table, and with ``--fix`` what is safe to mend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.table import Table

from actors.audit.audit import Line, audit
from actors.audit.checks import CHECKS
from actors.audit.statement import SOURCES, Statement, take_statement
from actors.hand import Action
from actors.protocol.undecodable import Undecodable
from kcactors.exits import Exit, WrongUse
from kcactors.output import Output
from kcactors.verbs import hands

NAMED = 20
"""Findings of one kind that the table names; ``--json`` names all that one look found."""


def run(output: Output, *, fix: bool, who: str | None, statement: Path | None, provider: str) -> Exit:
    """The verb ``audit``. Raises what the rooms below raise."""
    settings = hands.settings_for(aloud=fix)
    read = _statement(statement, provider) if statement is not None else None
    action = Action(hands.whoever(who), "audit --fix", {}) if fix else None
    with hands.hand(settings, aloud=fix) as hand:
        if read is not None:
            take_statement(hand.connection, read)
        with output.progress("Looking", len(CHECKS)) as bar:
            lines = audit(hand, settings.audit, lambda: datetime.now(UTC), fix=action, progress=bar)
    open_findings = sum(line.open for line in lines)
    mended = sum(line.mended for line in lines)
    document = {"ok": not open_findings, "open": open_findings, "mended": mended, "checks": lines}
    output.result(msgspec.to_builtins(document), _table(lines))
    return Exit.NOT_KEPT if open_findings else Exit.DONE


def _statement(file: Path, provider: str) -> Statement:
    source = SOURCES.get(provider)
    if source is None:
        raise WrongUse(f"--provider: {provider!r} given, expected one of {', '.join(SOURCES)}")
    try:
        return source(file.read_bytes())
    except OSError as error:
        raise WrongUse(f"{file}: {error.strerror}") from error
    except Undecodable as error:
        raise WrongUse(f"{file}: {error}") from error


def _table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("check", "finding", "open", "oldest", "mended", "what"):
        table.add_column(name, justify="right" if name in {"open", "oldest", "mended"} else "left")
    for line in lines:
        oldest = f"{line.oldest_s:.0f} s" if line.open else ""
        table.add_row(line.code, line.kind, str(line.open), oldest, str(line.mended or ""), line.help)
        for case in line.findings[:NAMED]:
            table.add_row("", f"  {case.subject}", "", "", "", msgspec.json.encode(case.detail).decode())
        if line.open > NAMED:
            table.add_row("", f"  and {line.open - NAMED} more", "", "", "", "")
    return table
