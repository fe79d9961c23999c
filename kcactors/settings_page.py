"""Writes ``docs/settings.md`` from the structures of `kcactors.settings`, so that the page cannot be out of date.

``python -m kcactors.settings_page > docs/settings.md``; a test compares the two.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import msgspec

from kcactors.environment import Variable, variables
from kcactors.settings import GROUPS, SECTIONS

_HEAD = """# Settings

Settings come from the environment and from nowhere else. An empty text counts as not set. What is missing or wrong is
named, all of it at once, with what was expected, and the exit code is 2. Secrets (marked *secret*) are never printed.
A command reads only the settings that it uses.

Written by `python -m kcactors.settings_page`; do not edit.
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([_HEAD, *(_section(name, kind) for name, kind in GROUPS.items())])


def _section(name: str, kind: type[msgspec.Struct]) -> str:
    about = inspect.getdoc(kind) or ""
    rows = [_row(variable) for variable in variables(kind, SECTIONS[name])]
    head = ["| variable | expected | default | |", "|---|---|---|---|"]
    return "\n".join([f"## {name}", "", about.split("\n\n", maxsplit=1)[0], "", *head, *rows, ""])


def _row(variable: Variable) -> str:
    default = "**required**" if variable.required else _shown(variable.default)
    about = "; ".join(part for part in (variable.about, "*secret*" if variable.secret else "") if part)
    return f"| `{variable.name}` | {variable.expected} | {default} | {about} |"


def _shown(default: Any) -> str:
    if default in {None, "", ()}:
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
