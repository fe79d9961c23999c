"""``kcactors node``: reads the settings, sets up the log, and hands over to the node."""

from __future__ import annotations

from typing import Final

from kcactors import logs
from kcactors.exits import WrongUse
from kcactors.node import run_node
from kcactors.settings import load, secrets

ROLES: Final = ("ingest", "gateway", "projections")


def run(*, host: str, port: int | None, roles: str) -> int:
    """Runs one node until it is told to stop; the exit code of the process.

    Raises:
        WrongUse: a role that there is not.
    """
    wanted = frozenset(role.strip() for role in roles.split(",") if role.strip())
    strange = sorted(wanted - set(ROLES))
    if strange or not wanted:
        raise WrongUse(f"--roles: {', '.join(strange) or 'none'} given, expected some of {', '.join(ROLES)}")
    settings = load()
    logs.configure(settings.log.format, settings.log.level, node=settings.node.id, secrets=secrets(settings))
    return run_node(settings, host=host, port=settings.http.port if port is None else port, roles=wanted)
