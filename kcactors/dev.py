"""``kcactors dev``: embedded services and nodes beside them, until it is told to stop.

Start, each step needing the one before: services (PostgreSQL, Redis, broker) → schema and topics → catalogue → nodes
→ all nodes ready → ``dev.json`` and ``dev.env`` → the ready line. Stop is the reverse, within `STOP_S`:

1. the nodes get SIGTERM together and drain; one that takes longer than `NODES_STOP_S` is ended;
2. broker and Redis end, which hold nothing;
3. PostgreSQL shuts down; if it does not in time it is ended, and recovers at the next start.

A node that dies stays dead. If this process is killed, the kernel ends nodes, broker and Redis with it and asks
PostgreSQL to shut down.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import secrets
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from actors.store.catalog import export_catalog, import_catalog
from actors.store.migrate import migrate
from kcactors.child import ChildNode
from kcactors.embedded import Services
from kcactors.embedded.folder_lock import FolderLock
from kcactors.embedded.kafka import GROUP_DELAY_MS
from kcactors.embedded.ports import LOOPBACK, candidates, is_free
from kcactors.embedded.surroundings import inherited
from kcactors.environment import PREFIX
from kcactors.exits import Exit, WrongUse
from kcactors.load import catalogue
from kcactors.readiness import probe, wait_until_ready
from kcactors.settings import Settings, load
from kcactors.verbs.tokens import mint

log = logging.getLogger(__name__)

STOP_S: Final = 15.0
NODES_STOP_S: Final = 9.0
NODES_READY_S: Final = 90.0
COURSES: Final = 12
TRAINERS: Final = 36
CAPACITY: Final = 1_000
TOKEN_TTL_S: Final = 365 * 24 * 3600

_LOOK_S: Final = 0.5
TOGETHER_MS: Final = 4_000
"""Nodes that start together join the group together: each that came later would cost a session timeout."""

OWN_PACE: Final = {
    # The embedded broker waits for this long whenever a member comes or goes.
    "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
    # the embedded broker sits out the whole wait, even when a record comes meanwhile
    "KCACTORS_KAFKA_FETCH_WAIT_MS": "20",
    # A stop has `STOP_S` for everything.
    "KCACTORS_NODE_STOP_TIMEOUT_S": "8",
    "KCACTORS_INGEST_DRAIN_S": "3",
    "KCACTORS_GATEWAY_DRAIN_S": "2",
}
"""Settings that differ from a production node's, unless the environment has them."""


class Told(BaseException):
    """SIGTERM or SIGINT came. Not an Exception, so that nothing between takes it for a failure."""


class _Secrets(msgspec.Struct):
    """secrets.json: drawn once per data folder, so that tokens outlive a restart."""

    jwt: str
    webhook: str


def run_dev(*, port: int, nodes: int, data_dir: Path) -> int:
    """The verb. Returns its exit code when SIGTERM or SIGINT came and everything has stopped.

    Args:
        port: of the first node, node i listens on ``port + i``; 0 takes free ones.
        nodes: how many; 0 for services only.
        data_dir: PostgreSQL's data, logs, ``dev.json`` and ``dev.env``.

    Raises:
        WrongUse: a port is taken.
        WrongSettings: the environment has a wrong setting for the nodes.
        ServiceTrouble: a server or a node did not come up, or another process uses the folder.
    """
    folder = data_dir.absolute()
    ports = _ports(port, nodes)
    with _told_by_signals(), contextlib.suppress(Told), contextlib.ExitStack() as running:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder, "dev.lock")
        running.callback(lock.release)
        lock.take()
        # What an earlier run wrote goes first, so that whoever waits for the file waits for this run.
        _forget(folder)
        running.callback(_forget, folder)
        services = running.enter_context(
            Services(folder, group_delay_ms=GROUP_DELAY_MS if nodes == 1 else TOGETHER_MS)
        )
        drawn = _drawn(folder)
        environment = _environment(services, drawn)
        settings = load({**_given(), **environment})
        migrate(services.database_url)
        for topic, partitions in settings.kafka.topics().items():
            services.kafka.create_topic(topic, partitions)
        deadline = time.monotonic() + NODES_READY_S
        started = _start_nodes(running, ports, environment, folder)
        for node in started:
            node.wait_ready(deadline - time.monotonic())
        wait_until_ready(started, settings.kafka.partitions, timeout_s=deadline - time.monotonic())
        document = _document(services, settings, drawn, started)
        _write(folder / "dev.env", "".join(f"{name}={text}\n" for name, text in environment.items()))
        _write(folder / "dev.json", json.dumps(document, indent=2) + "\n")
        _tell(document, folder)
        _watch(started)
    return Exit.DONE


@contextlib.contextmanager
def _told_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise `Told` in the main thread, once: a second one must not break the stopping."""
    told = False

    def tell(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise Told

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ports(first: int, count: int) -> list[int]:
    if first == 0:
        return [port for port, _ in zip(candidates(tries=count), range(count), strict=True)] if count else []
    wanted = [first + i for i in range(count)]
    taken = [port for port in wanted if not is_free(port)]
    if taken:
        raise WrongUse(f"port {', '.join(map(str, taken))} is in use; choose others with --port")
    return wanted


def _given() -> dict[str, str]:
    """Settings that the developer's environment has: they reach the nodes, where dev does not decide itself."""
    return {name: text for name, text in inherited().items() if name.startswith(PREFIX)}


def _drawn(folder: Path) -> _Secrets:
    path = folder / "secrets.json"
    with contextlib.suppress(FileNotFoundError):
        return msgspec.json.decode(path.read_bytes(), type=_Secrets)
    drawn = _Secrets(jwt=secrets.token_hex(32), webhook=secrets.token_hex(24))
    _write(path, msgspec.json.encode(drawn).decode())
    return drawn


def _environment(services: Services, drawn: _Secrets) -> dict[str, str]:
    """The settings of the nodes, and what ``dev.env`` holds."""
    given = _given()
    return {
        "KCACTORS_DATABASE_URL": services.database_url,
        "KCACTORS_REDIS_URL": services.redis_url,
        "KCACTORS_KAFKA_BOOTSTRAP": services.kafka_bootstrap,
        "KCACTORS_KAFKA_API_VERSION": services.kafka_api_version,
        "KCACTORS_JWT_SECRET": drawn.jwt,
        **{f"KCACTORS_WEBHOOK_SECRETS_{name}": drawn.webhook for name in ("KC", "RAZORPAY", "STRIPE")},
        **{name: given.get(name, text) for name, text in OWN_PACE.items()},
    }


def _start_nodes(
    running: contextlib.ExitStack, ports: list[int], environment: Mapping[str, str], folder: Path
) -> list[ChildNode]:
    """Start them together, without waiting."""
    started: list[ChildNode] = []
    running.callback(_stop_nodes, started)
    for number, port in enumerate(ports):
        node_log = folder / f"node-{number}.log"
        node_log.unlink(missing_ok=True)
        settings = {**_given(), **environment}
        started.append(ChildNode(port, settings, log=node_log, own_session=False))
    return started


def _stop_nodes(started: list[ChildNode]) -> None:
    deadline = time.monotonic() + NODES_STOP_S
    for node in started:
        node.send(signal.SIGTERM)
    for node in started:
        node.stop(timeout_s=max(0.1, deadline - time.monotonic()))


def _watch(started: list[ChildNode]) -> None:
    """Stay until `Told`; say once of each node that it died."""
    living = list(started)
    waiting = threading.Event()
    while not waiting.wait(_LOOK_S):
        for node in [node for node in living if node.exit_code is not None]:
            living.remove(node)
            log.warning("the node on port %d ended with %s; the rest goes on", node.port, node.exit_code)


def _document(
    services: Services, settings: Settings, drawn: _Secrets, started: list[ChildNode]
) -> dict[str, Any]:
    """dev.json."""
    courses, trainers = _catalogue(services.database_url)
    first = started[0].port if started else None
    return {
        "http": [node.url for node in started],
        "database_url": services.database_url,
        "redis_url": services.redis_url,
        "kafka_bootstrap": services.kafka_bootstrap,
        "kafka_api_version": services.kafka_api_version,
        "operator_token": mint(settings.auth, operator=True, ttl_s=TOKEN_TTL_S),
        "jwt_secret": drawn.jwt,
        "webhook_secret": drawn.webhook,
        "catalog": {"courses": courses, "trainers": trainers},
        "learning_page": _page(first, f"/students/{uuid.uuid4()}", "/students/{student_id}"),
        "supervision_page": _page(first, "/supervision", "/supervision"),
        "pids": {"nodes": [node.pid for node in started]},
    }


def _catalogue(database_url: str) -> tuple[list[str], int]:
    """Course ids and number of trainers; the demo catalogue where there is none. A catalogue of one's own stays."""
    found = json.loads(export_catalog(database_url))
    if not found["courses"]:
        import_catalog(
            database_url, catalogue.document(courses=COURSES, trainers=TRAINERS, capacity=CAPACITY)
        )
        found = json.loads(export_catalog(database_url))
    return [course["course_id"] for course in found["courses"]], len(found["trainers"])


def _page(port: int | None, path: str, pattern: str) -> str | None:
    """The address of a page, if the node serves it."""
    if port is None or probe(port, path)[0] != http.client.OK:
        return None
    return f"http://{LOOPBACK}:{port}{pattern}"


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for its owner only: it holds secrets."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _forget(folder: Path) -> None:
    for name in ("dev.json", "dev.env"):
        (folder / name).unlink(missing_ok=True)


def _tell(document: Mapping[str, Any], folder: Path) -> None:
    lines = [f"  {name:<16} {document[name]}" for name in ("database_url", "redis_url", "kafka_bootstrap")]
    lines += [f"  {'node':<16} {url}" for url in document["http"]]
    lines += [
        f"  {name:<16} {document[name]}" for name in ("learning_page", "supervision_page") if document[name]
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stdout.write(f"ready {folder / 'dev.json'}\n")
    sys.stdout.flush()
