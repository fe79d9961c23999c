"""Small helpers for looking at what must be there."""

import pykka

from supervision import ActorRef, Router, System


def at(where: System | Router, name: str) -> ActorRef[pykka.Actor]:
    """The ref at a path or key, which must exist."""
    ref = where.ref(name)
    assert ref is not None, name
    return ref
