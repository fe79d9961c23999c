"""The promise at a glance: how many deliveries came, how many payments they were, and where each duplicate ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import jinja2
from markupsafe import Markup

from actors.cluster.report import totals
from actors.cluster.reporter import Cluster
from gateway.ports import READ_TROUBLE
from supervision.dashboard import Refused, View
from supervision.dashboard.page import render

DOUBLED_EVERY_S: Final = 60.0
DOUBLED_TIMEOUT_S: Final = 4.0


class Doubles(Protocol):
    """Who can be asked for effects that stand twice; see :class:`actors.store.overview.Overview`."""

    async def doubled(self) -> int:
        """Their number. May raise one of :data:`gateway.ports.READ_TROUBLE`."""
        ...


class DuplicatesPage:
    """Deliveries, payments, and what became of the difference."""

    slug = "duplicates"
    title = "Duplicates"

    def __init__(
        self,
        cluster: Cluster,
        doubles: Doubles,
        env: jinja2.Environment,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._doubles = doubles
        self._env = env
        self._now = now
        self._doubled: int | None = None
        self._asked_s = float("-inf")

    async def body(self, view: View) -> Markup:
        """The page."""
        nodes = self._cluster.seen()
        summed = totals(nodes)
        doubled = await self._ask_doubled()
        return render(self._env, "duplicates.html", view=view, nodes=nodes, totals=summed, doubled=doubled)

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """Nothing can be done here."""
        raise Refused(404, "unknown_act", f"The duplicates page has no action {verb!r}.")

    async def _ask_doubled(self) -> int | None:
        """Asked of the database once a minute while somebody looks; None while it does not answer."""
        if self._now() - self._asked_s >= DOUBLED_EVERY_S:
            self._asked_s = self._now()
            try:
                async with asyncio.timeout(DOUBLED_TIMEOUT_S):
                    self._doubled = await self._doubles.doubled()
            except READ_TROUBLE:
                self._doubled = None
        return self._doubled
