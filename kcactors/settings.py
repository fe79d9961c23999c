"""The settings of a process: one frozen structure, from one explicit mapping.

Only this module reads the environment, and there is no other place for a setting (twelve-factor). Every limit
is one, with its unit in its name. What a variable means stands beside it in `kcactors.sections` and in the lower
rooms' own limits; ``docs/settings.md`` is written from these structures.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

import msgspec

from actors.audit.checks import AuditLimits
from actors.reconciler.retention import RetentionLimits
from actors.store.connection import ConnectionLimits
from gateway.limits import GatewayLimits
from kcactors.environment import PREFIX, Reader, Variable, WrongSettings, variables
from kcactors.sections.door import Auth, Http, Webhook
from kcactors.sections.process import Log, Node
from kcactors.sections.services import Database, Kafka, Redis
from kcactors.sections.work import Ingest, Ledger, Projections, Publisher, Reconciler, Student


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process is told from outside; a group that was not asked for holds its defaults.

    Where a lower room has a structure for its limits, that structure is the group: its fields, its units and its
    defaults are the settings, and none can be forgotten here.
    """

    database: Database
    connection: ConnectionLimits
    redis: Redis
    kafka: Kafka
    auth: Auth
    webhook: Webhook
    student: Student
    ledger: Ledger
    ingest: Ingest
    publisher: Publisher
    reconciler: Reconciler
    audit: AuditLimits
    retention: RetentionLimits
    projections: Projections
    http: Http
    gateway: GatewayLimits
    node: Node
    log: Log


GROUPS: Final[dict[str, type[msgspec.Struct]]] = {
    field.name: field.type for field in msgspec.structs.fields(Settings)
}
SECTIONS: Final = {name: name.upper() for name in GROUPS} | {"auth": "", "connection": "DATABASE"}
"""Group to the word that its variables have after ``KCACTORS_``."""

EVERYTHING: Final = frozenset(GROUPS)


def load(environ: Mapping[str, str] | None = None, needs: frozenset[str] = EVERYTHING) -> Settings:
    """Reads the settings.

    Args:
        environ: names to texts; the process's environment when left out.
        needs: the groups that the caller uses. Others are not looked at, and hold their defaults.

    Raises:
        WrongSettings: naming everything that is missing or wrong in those groups.
    """
    reader = Reader(os.environ if environ is None else environ)
    groups: dict[str, msgspec.Struct | None] = {}
    for name, kind in GROUPS.items():
        groups[name] = reader.read(kind, SECTIONS[name]) if name in needs else _defaults(kind)
    reader.finish()
    settings = msgspec.convert(groups, Settings, from_attributes=True)
    if settings.node.id:
        return settings
    return msgspec.structs.replace(settings, node=msgspec.structs.replace(settings.node, id=_own_name()))


def every_variable() -> list[Variable]:
    """All variables, group by group, for the documentation and for `unknown`."""
    return [variable for name, kind in GROUPS.items() for variable in variables(kind, SECTIONS[name])]


def secrets(settings: Settings) -> list[str]:
    """Every secret text in the settings, for the mask over the log."""
    found: list[str] = []
    for name, kind in GROUPS.items():
        for variable in variables(kind, ""):
            value = getattr(getattr(settings, name), variable.field) if variable.secret else None
            found.extend(value if isinstance(value, tuple) else [value] if value else [])
    return found


def unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names that begin like ours and mean nothing: most often a misspelt limit."""
    known = {variable.name for variable in every_variable()}
    given = os.environ if environ is None else environ
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)


def _defaults(kind: type[msgspec.Struct]) -> msgspec.Struct:
    return kind(**{variable.field: "" for variable in variables(kind, "") if variable.required})


def _own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


__all__ = ["EVERYTHING", "Settings", "WrongSettings", "every_variable", "load", "secrets", "unknown"]
