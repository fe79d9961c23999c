"""What the runtime refuses or reports, sorted by what the caller must do."""

from __future__ import annotations

from pykka import ActorDeadError, Timeout

__all__ = [
    "ActorDeadError",
    "ActorStartFailed",
    "AskDeadlock",
    "BlockingAskRefused",
    "BudgetExhausted",
    "DependencyUnavailable",
    "MailboxFull",
    "PoisonMessage",
    "PoolFull",
    "SupervisionError",
    "Timeout",
    "UnknownChild",
]


class SupervisionError(Exception):
    """Root of everything the runtime raises itself, beside Pykka's own `ActorDeadError` and `Timeout`."""


class MailboxFull(SupervisionError):
    """The mailbox holds `mailbox_limit` messages: slow down and offer the message again. It was not taken."""


class PoolFull(SupervisionError):
    """The pool for blocking work has no room left: slow down and submit again. The work was not taken."""


class ActorStartFailed(SupervisionError):
    """`__init__` or `on_start` of the child raised; the error itself is the `__cause__`. Nothing was left running."""


class BlockingAskRefused(SupervisionError):
    """A handler on a shared dispatcher tried to wait. Use `pipe_to_self`, or put the actor on a pinned dispatcher."""


class AskDeadlock(SupervisionError):
    """The ask would close a circle of actors that wait for each other. The message names the circle."""


class BudgetExhausted(SupervisionError):
    """A supervisor used up its restarts and gives up; its own supervisor decides what happens next."""


class UnknownChild(SupervisionError):
    """No child of that name."""


class PoisonMessage(Exception):
    """Raise in a handler: this message is at fault, the actor's state is sound. It is disposed of by policy at once."""


class DependencyUnavailable(Exception):
    """Raise in a handler: something outside is away.

    The actor keeps its state and retries the message after a pause.
    """
