"""Settings of the process itself."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from kcactors.environment import Group
from kcactors.sections.units import Seconds


class Node(Group, frozen=True, kw_only=True):
    """This process."""

    id: Annotated[str, Meta(description="its name in the cluster; default host:pid")] = ""
    stop_timeout_s: Annotated[Seconds, Meta(description="for an orderly stop after SIGTERM")] = 25.0


class Log(Group, frozen=True, kw_only=True):
    """What goes to standard error."""

    format: Annotated[Literal["console", "json"], Meta(description="for people or for machines")] = "console"
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="the least that is said")
    ] = "INFO"
