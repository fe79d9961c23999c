"""The cluster: every node as this one hears of it, as a page and as ``GET /api/v1/cluster``."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actors.cluster.report import Seen, totals
from actors.cluster.reporter import Cluster
from supervision.dashboard import Refused, View
from supervision.dashboard.access import Verify, answering, bearer
from supervision.dashboard.page import render

JSON: Final = "/api/v1/cluster"
KEPT: Final = 90


class ClusterPage:
    """What goes on, on every node, at one glance."""

    slug = "cluster"
    title = "Cluster"

    def __init__(self, cluster: Cluster, env: jinja2.Environment, node: str) -> None:
        self._cluster = cluster
        self._env = env
        self._node = node
        self._rates: dict[str, deque[float]] = {}
        self._beats: dict[str, int] = {}

    async def body(self, view: View) -> Markup:
        """The page."""
        nodes = self._cluster.seen()
        self._remember(nodes)
        return render(
            self._env,
            "cluster.html",
            view=view,
            nodes=nodes,
            totals=totals(nodes),
            board_away=self._cluster.board_away,
            rates=self._rates,
            slots=KEPT,
            node=self._node,
        )

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """Nothing can be done here."""
        raise Refused(404, "unknown_act", f"The cluster page has no action {verb!r}.")

    def _remember(self, nodes: Sequence[Seen]) -> None:
        for seen in nodes:
            name = seen.report.id
            if self._beats.get(name) != seen.report.beat:
                self._beats[name] = seen.report.beat
                self._rates.setdefault(name, deque(maxlen=KEPT)).append(seen.report.payments_per_s)
        for name in set(self._rates) - {seen.report.id for seen in nodes}:
            del self._rates[name], self._beats[name]


def cluster_route(cluster: Cluster, node: str, verify: Verify) -> Route:
    """``GET /api/v1/cluster``: the nodes, their sums, and whether the board in Redis can be read. Operators only."""

    async def answer(request: Request) -> Response:
        await bearer(request, verify)
        return Response(
            msgspec.json.encode(document(cluster, node)),
            headers={"cache-control": "no-store"},
            media_type="application/json",
        )

    return Route(JSON, answering(answer))


def document(cluster: Cluster, node: str) -> dict[str, Any]:
    """The cluster as plain data."""
    nodes = cluster.seen()
    return {
        "node": node,
        "board_away": cluster.board_away,
        "totals": totals(nodes),
        "nodes": [
            {**msgspec.structs.asdict(seen.report), "state": seen.state, "silent_s": round(seen.silent_s, 3)}
            for seen in nodes
        ],
    }
