"""When nodes are ready to work: each answers, nothing is degraded, and every partition has exactly one owner.

``/readyz`` names what a node lacks by itself; who owns which partition shows in the metrics. A payment that is sent
before that is not lost, but it waits for the consumer group to gather, which would be measured as latency.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from kcactors.child import ChildNode
from kcactors.embedded import ServerFailed
from kcactors.embedded.ports import LOOPBACK

READY_S: Final = 60.0

_PROBE_S: Final = 2.0
_LOOK_S: Final = 0.1
_OWNED: Final = re.compile(rb'^kcactors_kafka_in_flight\{partition="(\d+)"\}', re.MULTILINE)


class _Ready(msgspec.Struct):
    degraded: list[str]


def wait_until_ready(nodes: Sequence[ChildNode], partitions: int, *, timeout_s: float = READY_S) -> None:
    """Returns when nothing is lacking any more.

    Raises:
        ServerFailed: a node ended, or the time is up; names what is lacking.
    """
    deadline = time.monotonic() + timeout_s
    while (still := lacking(nodes, partitions)) is not None:
        if time.monotonic() > deadline:
            raise ServerFailed("the cluster of nodes", f"is not ready after {timeout_s:g} s: {still}")
        time.sleep(_LOOK_S)


def lacking(nodes: Sequence[ChildNode], partitions: int) -> str | None:
    """What the nodes lack, all of them seen together; None when nothing.

    Raises:
        ServerFailed: a node has ended; shows the end of its log.
    """
    shares: list[set[int]] = []
    for node in nodes:
        if node.exit_code is not None:
            tail = "\n".join(node.log_text().splitlines()[-20:])
            raise ServerFailed(f"the node on port {node.port}", f"ended with {node.exit_code}", tail)
        status, body = probe(node.port, "/readyz")
        if status != http.client.OK:
            return f"the node on port {node.port} does not answer"
        if degraded := msgspec.json.decode(body, type=_Ready).degraded:
            return f"the node on port {node.port} lacks {', '.join(degraded)}"
        shares.append({int(number) for number in _OWNED.findall(probe(node.port, "/metrics")[1])})
    if nodes and sorted(number for share in shares for number in share) != list(range(partitions)):
        return "not every partition has one owner"
    if not all(shares) and len(nodes) <= partitions:
        return "a node has no partition"
    return None


def probe(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET on loopback; status 0 where nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
