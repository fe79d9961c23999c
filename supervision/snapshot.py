"""The tree as plain data for pages and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supervision.cellstate import CellState, State

Node = dict[str, Any]
"""`{"path", "name", "class", "state", "depth", "oldest_s", "restarts", "children": [Node…]}`, ages in seconds.

A parent with more than `children_max` children shows its most noticeable ones and `more`, the number of the others;
a directory also shows `active`, the number of its virtual actors, the sums of their depth, how many were started and
put away so far, and their `groups` (see `supervision.groups`)."""


def state_of(cell: CellState) -> str:
    """One word for a person: running, suspended, backing_off, starting, failed, halted, stopping, stopped."""
    if cell.state is State.RUNNING:
        if cell.suspended:
            return "suspended"
        if cell.lane_waits:
            return "backing_off"
    return "backing_off" if cell.state is State.FAILED else str(cell.state)


def node_of(cell: CellState) -> Node:
    """One actor without its children."""
    return {
        "path": cell.path,
        "name": cell.name,
        "class": cell.actor_class.__name__,
        "state": state_of(cell),
        "depth": cell.depth,
        "oldest_s": round(cell.oldest_s(), 6),
        "restarts": cell.restarts,
        "children": [],
    }


def snapshot(root: CellState, loose: Sequence[CellState], *, children_max: int) -> Node:
    """The whole tree; `loose` are actors without a supervisor, shown below the root as well."""
    tree = _branch(root, children_max)
    tree["children"].extend(node_of(cell) for cell in loose[:children_max])
    return tree


def _branch(cell: CellState, children_max: int) -> Node:
    node = node_of(cell)
    family = cell.family
    if family is None:
        return node
    summary = family.summary(children_max)
    node["children"] = [_branch(child, children_max) for child in summary.shown]
    node.update(summary.totals)
    return node
