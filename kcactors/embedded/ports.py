"""Ports for servers that must be told theirs."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"

# Below the range from which kernels lend ports to outgoing connections (32768 on Linux, 49152 elsewhere): such a
# loan between our look and the server's bind would take the port away.
_LOWEST, _HIGHEST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: what a closed connection left behind is no listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def candidates(preferred: int | None = None, *, tries: int = 5) -> Iterator[int]:
    """Up to ``tries`` free ports, the preferred one first if it is free.

    Somebody else may take one before the server does, so the caller goes on to the next when its server finds the
    port taken.
    """
    if preferred is not None and is_free(preferred):
        yield preferred
        tries -= 1
    draw = random.SystemRandom()
    while tries > 0:
        port = draw.randint(_LOWEST, _HIGHEST)
        if is_free(port):
            yield port
            tries -= 1
