"""What an operator can do to an actor. Each act runs in the actor's own turn, ahead of its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from supervision.dashboard.access import Refused
from supervision.future import as_asyncio
from supervision.ref import ActorRef
from supervision.system import System

SETTLED_S: Final = 5.0
"""How long an answer waits for the act to show. A stuck actor acts on it when its turn ends."""

ACTS: Final = {
    "suspend": "Handle no message until it is resumed; they queue.",
    "resume": "Go on with the messages that have queued.",
    "restart": "Throw the state away and start afresh; mailbox and address stay.",
    "retry": "Try the failing message again now, without waiting for its pause to end.",
    "skip": "Take the first message out of the queue; it is parked, or kept as a dead letter.",
    "passivate": "Put the idle actor away; its next message starts it afresh.",
}
"""Each act and what it means, in a sentence for the person who is asked to confirm it."""


async def act(system: System, ref: ActorRef[Any], verb: str, who: str) -> None:
    """Do it, and wait a moment until it has happened.

    Raises:
        Refused: 404 for an unknown act, 409 for one that this actor cannot do.
    """
    cell = ref.cell
    if verb not in ACTS:
        raise Refused(404, "unknown_act", f"An actor can be told to {', '.join(ACTS)}.")
    if cell.closed:
        raise Refused(409, "stopped", "This actor has stopped.")
    if verb == "restart":
        if cell.parent is None:
            raise Refused(409, "root", "The root is restarted by restarting the process.")
        before = cell.restarts
        system.restart(ref)
        await _until(lambda: cell.restarts > before or cell.closed)
        return
    passivate = getattr(cell, "passivate", None)
    if verb == "passivate" and passivate is None:
        raise Refused(409, "not_virtual", "Only actors that start with their first message can be put away.")
    if verb == "suspend":
        system.suspend(ref)
    elif verb == "skip":
        cell.post(partial(cell.skip_head, f"skipped by {who}"))
    elif verb == "passivate" and passivate is not None:
        # Not followed by a look: an actor with anything left to do is not put away.
        cell.post(passivate)
        await _until(lambda: cell.closed)
        return
    else:
        system.resume(ref)
    await _seen(system, ref)


async def _seen(system: System, ref: ActorRef[Any]) -> None:
    """Wait until everything that was posted to the actor before has run."""
    try:
        async with asyncio.timeout(SETTLED_S):
            await as_asyncio(system.inspect(ref, lambda _: None))
    except Exception:  # noqa: BLE001 - stuck, or put away meanwhile: what was posted stands
        return


async def _until(condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(SETTLED_S):
            while not condition():  # noqa: ASYNC110 - what it waits for happens in other threads
                await asyncio.sleep(0.01)
    except TimeoutError:
        return
