"""The actor that users write."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar, Self, cast

import pykka

from supervision.cell import Cell
from supervision.cellstate import Family
from supervision.context import Context, ref_of
from supervision.future import Future
from supervision.lifecycle import construction
from supervision.ref import ActorRef


class Actor(pykka.Actor):
    """A `pykka.Actor` that shares threads with others, and that a supervisor can restart behind its ref.

    Write `on_start`, `on_receive`, `on_stop`, `on_failure` and methods for proxies as Pykka documents. Differences to
    `pykka.ThreadingActor` are listed in the README of this package.
    """

    dispatcher: ClassVar[str] = "shared"
    """`shared` (must not block), `pinned` (own thread, may block), or one named with `System.add_dispatcher`."""
    mailbox_limit: ClassVar[int | None] = None
    """Bound of the mailbox; beyond it `tell` and `ask` raise `MailboxFull`."""
    batch_max: ClassVar[int] = 1
    """Above 1, `on_batch` gets everything that is queued, up to this many messages at once."""

    _cell: Cell | None = None

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Pykka's __init__ is not called: it would make a uuid, an Event and a queue for every actor and every restart.
        cell, construction.cell = construction.cell, None
        if cell is not None:
            self._cell = cell

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:
        """Start an unsupervised actor in the default system and enter it in `pykka.ActorRegistry`, as Pykka does.

        It behaves like a Pykka actor: a failed `tell` stops it, a failed `ask` does not. To be restarted it needs a
        supervisor: `System.start_child` or `Context.start_child`.
        """
        ref = start_default(cls, args, kwargs)
        return cast("ActorRef[Self]", ref)

    def _adopt(self, cell: Cell) -> None:
        self._cell = cell

    def _own_cell(self) -> Cell:
        if self._cell is None:
            raise RuntimeError(f"{type(self).__name__} has not been started; its factory must build it")
        return self._cell

    @property
    def context(self) -> Context:
        """Clock, timers, children, stash and the rest; see `Context`."""
        return Context(self._own_cell())

    @property
    def actor_ref(self) -> ActorRef[Self]:
        return cast("ActorRef[Self]", ref_of(self._own_cell()))

    @property
    def _actor_ref(self) -> ActorRef[Self]:  # type: ignore[override]
        return self.actor_ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        return self._own_cell().urn

    @property
    def actor_inbox(self) -> Cell:  # type: ignore[override]
        return self._own_cell()

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        return self._own_cell().stopped_event

    def __str__(self) -> str:
        return str(self._cell) if self._cell is not None else type(self).__name__

    def stop(self) -> None:
        """Stop after what is queued now. A `permanent` child comes back, as in OTP."""
        self.actor_ref.stop(block=False)

    def on_batch(self, messages: list[Any]) -> list[Any] | None:
        """Handle everything that was queued at once, when `batch_max` is above 1.

        When it raises, the messages are handed out again one by one (a batch of one each), so that a single bad message
        meets its policy alone; on a dependency failure the whole batch waits and comes again.

        Returns:
            One reply per message for those that were asked, or None.
        """
        return [self.on_receive(message) for message in messages]

    def is_idle(self) -> bool:
        """False while something is under way, an answer for example.

        An actor that is not idle is not put away, and a draining stop waits for it up to its deadline.
        """
        return True

    def make_family(self) -> Family | None:
        """The children this actor declares; `Supervisor` and `Directory` override it."""
        return None

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Called on the failed behaviour before it is dropped; the message and the mailbox are not its business."""

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise NotImplementedError("the cell is the inbox")

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        raise NotImplementedError("a dispatcher runs the actor")


_starter: list[Any] = []


def set_default_starter(starter: Any) -> None:
    """Say how plain `Actor.start()` starts an actor; `supervision.system` does, once."""
    _starter[:] = [starter]


def start_default(cls: type[Actor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActorRef[Any]:
    if not _starter:
        raise RuntimeError("import supervision, not only supervision.actor")
    ref: ActorRef[Any] = _starter[0](lambda: cls(*args, **kwargs), cls.__name__)
    return ref
