"""Virtual actors: a key is an actor. It is started by its first message and put away when idle.

The `Router` is what senders hold; the `Directory` is the actor in the tree that supervises the virtual ones.
Passivation has two phases, both in the virtual actor's own turn: `on_stop`, then close the mailbox *if it is
still empty*, under the lock of `put`. A message that came in between makes it start again on the spot; one
that finds the mailbox closed makes a fresh actor. So nothing is buffered, nothing is lost, and there are
never two at once for one key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, ClassVar

import pykka

from supervision.actor import Actor
from supervision.backoff import Backoff
from supervision.budget import Budget
from supervision.cellstate import Family
from supervision.context import ref_of
from supervision.failure import Classify, PoisonPolicy, classify_by_type
from supervision.future import Future
from supervision.ref import ActorRef
from supervision.roster import Roster
from supervision.spec import ChildSpec
from supervision.virtualfamily import GRACE_S, VirtualFamily


class Router:
    """Delivers by key. Safe and cheap from any thread.

    Place its `spec()` in a tree; until that is up, and after it is stopped, telling raises `ActorDeadError`.

    Args:
        factory: Makes the behaviour for a key.
        name: Of the directory in the tree.
        idle_s: Put an actor away after so long without a turn.
        active_max: Beyond this many, the least recently active idle ones are put away early (second chance, as in CLOCK
            page replacement). Busy actors are never put away, so the number can be exceeded while all are busy.
        mailbox_limit: Bound of each mailbox.
        budget: Restarts of one key; beyond it that actor alone is given up: its messages are parked, then it
            starts anew.
        backoff: Pause before each restart.
        poison: What happens to a message that keeps failing; `park` gets the key.
        classify: Sorts exceptions.
        dispatcher: Where the actors run.
        stop_timeout_s: How long all of them together may take to finish what is queued.
        group_of: Names the group of a key, under which the dashboard adds its actors up; asked only while somebody
            looks, once for each actor. It must be pure and quick, and know few groups.
    """

    def __init__(  # noqa: PLR0913 - each is a limit or a policy of its own
        self,
        factory: Callable[[str], pykka.Actor],
        *,
        name: str = "directory",
        idle_s: float = 120.0,
        active_max: int = 100_000,
        mailbox_limit: int | None = None,
        budget: Budget | None = None,
        backoff: Backoff | None = None,
        poison: PoisonPolicy | None = None,
        classify: Classify = classify_by_type,
        dispatcher: str = "shared",
        stop_timeout_s: float = 10.0,
        group_of: Callable[[str], str] | None = None,
    ) -> None:
        if idle_s <= 0 or active_max < 1:
            raise ValueError("idle_s must be positive and active_max at least 1")
        self.name = name
        self.idle_s = idle_s
        self.stop_timeout_s = stop_timeout_s
        common = ChildSpec(
            "virtual",
            Actor,
            budget=budget if budget is not None else Budget(max_restarts=5, within_s=10.0),
            backoff=backoff if backoff is not None else Backoff(),
            poison=poison if poison is not None else PoisonPolicy(),
            classify=classify,
            mailbox_limit=mailbox_limit,
        )
        self.roster = Roster(
            name, factory, common, dispatcher=dispatcher, active_max=active_max, group_of=group_of
        )
        self._active = self.roster.active

    def spec(self, *, restart_budget: Budget | None = None) -> ChildSpec:
        """The directory as a child for a supervisor."""
        return ChildSpec(
            self.name,
            lambda: Directory(self),
            stop_timeout_s=self.stop_timeout_s + 2 * GRACE_S,
            drain=False,
            budget=restart_budget if restart_budget is not None else Budget(),
        )

    def tell(self, key: str, message: Any) -> None:
        """Give `message` to the actor of `key`, starting it if needed.

        Raises:
            MailboxFull: that actor's mailbox is at its bound.
            ActorDeadError: the directory is not up.
        """
        cell = self._active.get(key)
        if cell is None or not cell.offer(message):
            self.roster.deliver(key, message, None)

    def tell_all(self, key: str, messages: Sequence[Any]) -> int:
        """As `tell`, for messages that come at once: how many were taken, those in front, until the mailbox was full.

        Raises:
            ActorDeadError: the directory is not up.
        """
        return self.roster.deliver_all(key, messages)

    def ask(self, key: str, message: Any) -> Future[Any]:
        """As `tell`, with a future of the answer."""
        future: Future[Any] = Future()
        self.roster.deliver(key, message, future)
        return future

    def tell_existing(self, key: str, message: Any) -> bool:
        """Give `message` to the actor of `key` only if it is active; False when it is not."""
        cell = self._active.get(key)
        return cell is not None and cell.offer(message)

    def put_away(self, key: str) -> bool:
        """Ask the actor of `key` to end, unless it has anything to do; False when none is active. It answers later."""
        cell = self._active.get(key)
        return cell is not None and cell.post(cell.passivate)

    def is_active(self, key: str) -> bool:
        """Whether the actor of `key` is active."""
        return key in self._active

    def ref(self, key: str) -> ActorRef[Any] | None:
        """The ref of the active actor of `key`. It stays good after a passivation: telling it starts the actor anew."""
        cell = self._active.get(key)
        return ref_of(cell) if cell is not None else None

    @property
    def active(self) -> int:
        """How many actors are active."""
        return len(self._active)

    def keys(self, limit: int = 100) -> list[str]:
        """Some of the active keys, in order of activation."""
        return [cell.name for cell in islice(self.roster.cells(), limit)]

    @property
    def activations(self) -> int:
        """How often an actor was started by a message."""
        return self.roster.activations

    @property
    def passivations(self) -> int:
        """How often an idle actor was put away."""
        return self.roster.passivations


class Directory(Actor):
    """The supervisor of a router's virtual actors."""

    dispatcher: ClassVar[str] = "internal"

    def __init__(self, router: Router) -> None:
        super().__init__()
        self._router = router

    def make_family(self) -> Family:
        router = self._router
        return VirtualFamily(
            self._own_cell(), router.roster, idle_s=router.idle_s, stop_timeout_s=router.stop_timeout_s
        )
