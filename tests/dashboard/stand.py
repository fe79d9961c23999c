"""A dashboard on a real port over a real tree, in calm and in trouble."""

import asyncio
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from supervision import (
    Actor,
    Backoff,
    Budget,
    ChildSpec,
    DependencyUnavailable,
    PoisonPolicy,
    Router,
    System,
    supervisor,
)
from supervision.dashboard import Dashboard, Deed, Deps, Operator, Page, Refused
from tests.support.waiting import wait_until

SECRET = "a secret of the tests, and long enough for HS256"
TOKEN = "an operator's"
STUDENT = "0d5f6a52-6c53-4d5e-9b0c-0d6a5fd6ab01"


class Ledger(Actor):
    """Handles everything, and fails where the message says so."""

    def on_receive(self, message: Any) -> Any:
        if message == "bug":
            raise RuntimeError("a bug, said the message")
        if message == "away":
            raise DependencyUnavailable("the database is away")
        return message


class Student(Ledger):
    """The same, on demand."""


class Tree:
    """core [ledger-0, ledger-1, directory], publisher, and what an operator did."""

    def __init__(self) -> None:
        self.system = System("test")
        self.deeds: list[Deed] = []
        self.parked: list[Any] = []
        self.record_away = False
        core = self.system.start_child(None, supervisor("core", [], strategy="rest_for_one"))
        patient = Budget(max_restarts=100, within_s=60.0)
        self.ledgers = [
            self.system.start_child(
                core,
                ChildSpec(
                    f"ledger-{n}", Ledger, budget=patient, poison=PoisonPolicy(backoff=Backoff(60.0, 60.0))
                ),
            )
            for n in range(2)
        ]
        self.students = Router(
            lambda _: Student(),
            budget=patient,
            poison=PoisonPolicy(retries=1, park=lambda _key, message, _failure: self.parked.append(message)),
            group_of=lambda key: f"partition {len(key) % 3}",
        )
        self.system.start_child(core, self.students.spec())
        self.publisher = self.system.start_child(None, ChildSpec("publisher", Ledger))

    async def audit(self, deed: Deed) -> None:
        if self.record_away:
            raise ConnectionError("the database is away")
        self.deeds.append(deed)

    def trouble(self) -> None:
        """A poisoned student, a suspended ledger with a queue, a lane that waits for its dependency."""
        self.students.tell(STUDENT, "bug")
        self.system.suspend(self.ledgers[1])
        wait_until(lambda: self.ledgers[1].cell.suspended)
        for n in range(7):
            self.ledgers[1].tell(f"payment {n}")
        self.ledgers[0].tell("away")
        wait_until(lambda: self.ledgers[0].cell.lane_waits and self.parked)
        poisoned = wait_until(lambda: self.students.ref(STUDENT))
        assert poisoned is not None
        wait_until(lambda: poisoned.cell.restarts == 2 and poisoned.cell.behaviour is not None)


async def verify(token: str) -> Operator:
    if token == TOKEN:
        return Operator("ann", time.time() + 3600)
    if token == "a student's":
        raise Refused(403, "operators_only", "This needs the operator role.")
    raise Refused(401, "invalid_token", "The token is not valid.")


def dashboard_over(tree: Tree, *, panels: Sequence[Page] = (), **changes: Any) -> Dashboard:
    given: dict[str, Any] = {
        "system": tree.system,
        "node": "test:1",
        "verify": verify,
        "audit": tree.audit,
        "session_key": b"a key of the tests",
        "panels": panels,
        "every_s": 0.2,
    }
    return Dashboard(Deps(**{**given, **changes}))


def application(dashboard: Dashboard, more: Sequence[BaseRoute] = ()) -> Starlette:
    return Starlette(routes=[*dashboard.pages(), *dashboard.api(), *more])


def operator_token() -> str:
    return jwt.encode(
        {"sub": "ann", "role": "operator", "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256"
    )


class Served:
    """An application on a port of loopback, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._serve, name="dashboard-under-test", daemon=True)

    def _serve(self) -> None:
        asyncio.run(self._server.serve())

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started, what="a server")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
