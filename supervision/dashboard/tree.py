"""The tree for a page: each node with the sum of what is below it. Pure functions over `supervision.snapshot.Node`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from supervision.snapshot import Node

TROUBLED = ("failed", "backing_off", "suspended", "halted", "stopped")
"""States that an operator should see from across the room, the worst first."""


@dataclass(frozen=True, slots=True)
class Below:
    """A node and everything below it, added up; ages in seconds."""

    actors: int
    depth: int
    oldest_s: float
    restarts: int
    worst: str


def roll_up(node: Node) -> Below:
    """Add up a subtree, and write the sums into its nodes as ``below``."""
    parts = [roll_up(child) for child in node["children"]]
    shown = sum(part.actors for part in parts)
    states = [node["state"], *(part.worst for part in parts)]
    below = Below(
        actors=1 + max(shown, node.get("active", 0)),
        depth=node["depth"] + max(sum(part.depth for part in parts), node.get("depth_below", 0)),
        oldest_s=max([node["oldest_s"], *(part.oldest_s for part in parts)]),
        restarts=node["restarts"] + max(sum(part.restarts for part in parts), node.get("restarts_below", 0)),
        worst=min(states, key=_rank),
    )
    node["below"] = below
    return below


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first."""
    yield node
    for child in node["children"]:
        yield from walk(child)


def plain(node: Node) -> dict[str, Any]:
    """The node without sums, as the JSON shows it."""
    return {
        **{name: value for name, value in node.items() if name not in {"below", "children"}},
        "children": [plain(child) for child in node["children"]],
    }


def _rank(state: str) -> int:
    return TROUBLED.index(state) if state in TROUBLED else len(TROUBLED)
