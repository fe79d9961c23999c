"""The environment that a server inherits. Nothing in it configures kcactors itself; that is kcactors/settings.py."""

from __future__ import annotations

import os
from collections.abc import Mapping


def inherited(*, without: str | None = None, with_: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a child, without the variables of one prefix, with some set."""
    kept = {
        name: value for name, value in os.environ.items() if without is None or not name.startswith(without)
    }
    return kept | dict(with_ or {})


def with_import_path(folder: str) -> dict[str, str]:
    """This process's environment for a Python child that has to import from ``folder`` first."""
    path = [folder, os.environ.get("PYTHONPATH", "")]
    return inherited(with_={"PYTHONPATH": os.pathsep.join(filter(None, path))})
