"""One actor from outside: everything there is to know of it, read without stopping it."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from supervision.cell import Cell
from supervision.dashboard.describe import describe
from supervision.dashboard.watch import Watch
from supervision.mailbox import UNBOUNDED
from supervision.ref import ActorRef
from supervision.snapshot import Node, node_of, state_of
from supervision.system import System

QUEUE_SHOWN: Final = 10
TRIES: Final = 5


def find(system: System, path: str) -> ActorRef[Any] | None:
    """The actor of a path as the pages write it: ``root`` and the empty path are the root."""
    ref = system.ref(path)
    if ref is None and path in {"root", "/", ""}:
        return system.root
    return ref


def search(system: System, text: str, limit: int = 20) -> list[Node]:
    """Actors whose name is ``text``, virtual ones included, or whose path holds it."""
    found: dict[str, Node] = {}
    wanted = text.strip()
    if not wanted:
        return []
    exact = system.ref(wanted)
    if exact is not None:
        found[exact.path] = node_of(exact.cell)
    for cell in _standing(system.root.cell):
        if wanted.lower() in cell.path.lower():
            found.setdefault(cell.path, node_of(cell))
        child = cell.family.find(wanted) if cell.family is not None else None
        if child is not None:
            found.setdefault(child.path, node_of(child))
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


def detail(system: System, ref: ActorRef[Any], watch: Watch) -> dict[str, Any]:
    """One actor: its figures, its message in hand, the head of its queue, its incidents, timers and last verdicts.

    Ages are seconds, moments are ISO 8601 in UTC. Looking makes the actor watched for a lease.
    """
    cell = ref.cell
    now_s = system.now()
    trouble = cell.trouble
    current = cell.current
    waits_for = cell.waits_for
    spec = cell.spec
    return {
        **node_of(cell),
        "handled": cell.handled,
        "accepted": cell.accepted,
        "refused": cell.refused,
        "stashed": cell.stashed,
        "failures": trouble.failures if trouble is not None else 0,
        "parked": trouble.parked if trouble is not None else 0,
        "dead": trouble.dead if trouble is not None else 0,
        "attempts": trouble.attempts if trouble is not None else 0,
        "lane_waits": cell.lane_waits,
        "suspended": cell.suspended,
        "mailbox_limit": None if cell.limit == UNBOUNDED else cell.limit,
        "dispatcher": cell.dispatcher_kind,
        "restart": spec.restart,
        "budget": {"max_restarts": spec.budget.max_restarts, "within_s": spec.budget.within_s},
        "supervisor": cell.parent.path if cell.parent is not None else None,
        "virtual": hasattr(cell, "passivate"),
        "current": None if current is None else _item(current, now_s),
        "queue": [_item(item, now_s) for item in head_of(cell, QUEUE_SHOWN)],
        "waits_for": waits_for.path if waits_for is not None else None,
        "timers": [
            {"due_in_s": round(max(0.0, timer.due_s - now_s), 3), "interval_s": timer.interval_s}
            for timer in system.timers.of(ref)
        ],
        "verdicts": [
            {
                "at": moment(system, verdict.at_s),
                "message": verdict.message,
                "verdict": verdict.verdict,
                "seconds": round(verdict.seconds, 6),
            }
            for verdict in watch.look(ref)
        ],
        "incidents": _incidents(system, cell),
    }


def members(system: System, path: str, group: str, limit: int) -> list[Node]:
    """The most noticeable actors of one group of a directory."""
    ref = system.ref(path)
    members_of = getattr(ref.cell.family, "members_of", None) if ref is not None else None
    return [node_of(cell) for cell in members_of(group, limit)] if members_of is not None else []


def head_of(cell: Cell, limit: int) -> list[Any]:
    """The first messages of a mailbox that others may be using now."""
    for _ in range(TRIES):
        try:
            return list(islice(cell.queue, limit))
        except RuntimeError:
            # It was changed while it was read; the next try comes between two changes.
            continue
    return []


def moment(system: System, at_s: float) -> str:
    """A moment of the monotonic clock as wall time."""
    now_s, now = system.now(), system.clock.now()
    return now.fromtimestamp(now.timestamp() - (now_s - at_s), now.tzinfo).isoformat(timespec="milliseconds")


def incident_of(system: System, incident: Any) -> dict[str, Any]:
    """One incident as plain data."""
    return {
        "at": moment(system, incident.at_s),
        "path": incident.path,
        "kind": incident.kind,
        "detail": incident.detail,
        "trace": incident.trace,
    }


def _incidents(system: System, cell: Cell) -> list[dict[str, Any]]:
    """What the actor itself remembers, the newest first."""
    if cell.trouble is None:
        return []
    return [incident_of(system, one) for one in reversed(list(cell.trouble.incidents))]


def _item(item: Any, now_s: float) -> dict[str, Any]:
    message, reply_to, put_s = item
    return {
        "message": describe(message),
        "age_s": round(max(0.0, now_s - put_s), 6),
        "asked": reply_to is not None,
    }


def _standing(root: Cell) -> list[Cell]:
    """The declared tree, without the virtual actors."""
    found: list[Cell] = []
    waiting = [root]
    while waiting:
        cell = waiting.pop()
        found.append(cell)
        if cell.family is not None and not hasattr(cell.family, "crowded"):
            waiting.extend(cell.family.members())
    return found


def state(ref: ActorRef[Any]) -> str:
    """The word for an actor's state."""
    return state_of(ref.cell)
