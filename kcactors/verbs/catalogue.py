"""``kcactors catalog import`` and ``export``: courses and trainers as one JSON document."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from actors.protocol.undecodable import Undecodable
from actors.store.catalog import export_catalog, import_catalog
from actors.store.errors import BadData
from kcactors.exits import Exit, WrongUse
from kcactors.output import Output
from kcactors.settings import load

_NEEDS = frozenset({"database"})


def put(output: Output, file: Path) -> Exit:
    """The verb ``catalog import``.

    Raises:
        WrongUse: the file cannot be read, or the document is not a catalogue; names the field.
    """
    settings = load(needs=_NEEDS)
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise WrongUse(f"{file}: {error.strerror}") from error
    try:
        changed = import_catalog(settings.database.url, raw)
    except (Undecodable, BadData) as error:
        raise WrongUse(f"{file}: {error}") from error
    text = (
        f"{changed.courses} courses, {changed.trainers} trainers and "
        f"{changed.eligibility} of their courses made or changed"
    )
    output.result({"ok": True, "changed": changed}, text)
    return Exit.DONE


def show() -> Exit:
    """The verb ``catalog export``: the document itself is the result, with or without ``--json``."""
    document = export_catalog(load(needs=_NEEDS).database.url)
    sys.stdout.write(msgspec.json.format(document, indent=2).decode() + "\n")
    return Exit.DONE
