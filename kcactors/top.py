"""``kcactors top``: the health of the cluster in a terminal, as the dashboard of one node tells it."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kcactors.exits import NotKept, ServiceAway, WrongUse
from supervision.dashboard.draw import age, count

TIMEOUT_S: Final = 5.0
ACTORS_SHOWN: Final = 12
STYLES: Final = {
    "up": "green",
    "running": "green",
    "degraded": "yellow",
    "suspended": "yellow",
    "backing_off": "yellow",
    "lost": "bold red",
    "failed": "bold red",
}


class Window:
    """Looks through one node at all of them.

    Args:
        target: the node's address.
        token: an operator's.
    """

    def __init__(self, target: str, token: str) -> None:
        parts = urlsplit(target)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise WrongUse(f"--target: {target!r} is no http address")
        self._parts = parts
        self._target = target.rstrip("/")
        self._token = token

    def look(self, order: str) -> dict[str, Any]:
        """The cluster, and this node's most noticeable actors.

        Raises:
            ServiceAway: the node does not answer.
            WrongUse: it does not take the token.
        """
        cluster = self._get("/api/v1/cluster")
        actors = self._get(f"/api/v1/supervision/actors?order={order}&limit={ACTORS_SHOWN}")
        return {**cluster, "order": order, "actors": actors["actors"]}

    def _get(self, path: str) -> dict[str, Any]:
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceAway(f"the node at {self._target}", str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if answer.status in {401, 403}:
            raise WrongUse(f"{self._target} does not take the token: is KCACTORS_JWT_SECRET the node's?")
        if answer.status != 200:
            raise NotKept(f"{self._target}{path} answered {answer.status}")
        document: dict[str, Any] = msgspec.json.decode(body)
        return document


def drawn(document: Mapping[str, Any]) -> RenderableType:
    """One screen."""
    whole = document["totals"]
    there = whole["nodes"] - whole["lost"]
    head = Text.assemble(
        ("kcactors ", "bold"),
        f"{there} {'node' if there == 1 else 'nodes'}",
        (f", {whole['lost']} lost" if whole["lost"] else "", "bold red"),
        f" · {count(whole['payments_per_s'])} payments/s · {count(whole['sessions'])} sessions",
        f" · oldest {age(whole['oldest_s'])} · outbox {age(whole['outbox_age_s'])}",
        f" · {count(whole['deliveries'])} deliveries, {count(whole['payments'])} payments",
        (" · Redis is away: last known" if document["board_away"] else "", "yellow"),
    )
    return Group(head, _nodes(document), _actors(document))


def _nodes(document: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("node", "state"):
        table.add_column(name)
    numbers = (
        "payments/s",
        "commit p99",
        "screen p99",
        "partitions",
        "in flight",
        "sessions",
        "oldest",
        "outbox",
    )
    for name in (*numbers, "actors", "restarts", "lost messages"):
        table.add_column(name, justify="right")
    for one in document["nodes"]:
        state = one["state"] if one["state"] != "lost" else f"lost {age(one['silent_s'])}"
        table.add_row(
            one["id"],
            Text(state, style=STYLES.get(one["state"], "")),
            count(one["payments_per_s"]),
            age(one["payment_to_commit"]["p99_s"]),
            age(one["commit_to_screen"]["p99_s"]),
            str(len(one["partitions"])),
            count(one["in_flight"]),
            count(one["sessions"]),
            age(one["oldest_s"]),
            age(one["outbox_age_s"]),
            count(one["actors"]),
            count(one["restarts"]),
            count(one["conservation_error"]),
        )
    return table


def _actors(document: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column(f"actors of {document['node']} by {document['order']}")
    table.add_column("state")
    for name in ("oldest", "waiting", "restarts"):
        table.add_column(name, justify="right")
    for one in document["actors"]:
        state = Text(one["state"].replace("_", " "), style=STYLES.get(one["state"], ""))
        table.add_row(one["path"], state, age(one["oldest_s"]), count(one["depth"]), count(one["restarts"]))
    return table


async def watch(
    look: Callable[[], Mapping[str, Any]],
    show: Callable[[RenderableType], None],
    *,
    every_s: float,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Look and show, again and again, until cancelled. A node that does not answer is said and asked again."""
    while True:
        due_s = now() + every_s
        try:
            show(drawn(await asyncio.to_thread(look)))
        except ServiceAway as away:
            show(Text(f"{away}; asking again", style="yellow"))
        await asyncio.sleep(max(0.0, due_s - now()))
