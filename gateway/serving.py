"""How the gateway must be served: uvicorn's settings and the listening socket, as plain data for the roof.

Each value answers a measured trap (uvicorn 0.54): deflate costs 2.5 times the memory; ``limit_concurrency`` refuses
``/healthz`` while it accepts sockets; without a time limit a graceful stop waits for stalled peers for ever; and such a
peer is only given up by the kernel, through ``TCP_USER_TIMEOUT`` on the listening socket, which accepted ones inherit.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

from gateway.limits import GatewayLimits

BACKLOG = 2048


def uvicorn_options(limits: GatewayLimits) -> dict[str, Any]:
    """Arguments for ``uvicorn.Config``; the roof adds the application and logging.

    The access log is off: it holds one line for each request and says nothing that the metrics do not.
    """
    return {
        "ws": "websockets-sansio",
        "ws_max_size": limits.frame_bytes,
        "ws_per_message_deflate": False,
        # A backstop below the session's own ping, for peers that are gone.
        "ws_ping_interval": 30.0,
        "ws_ping_timeout": 30.0,
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "limit_concurrency": None,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 5,
        "backlog": BACKLOG,
    }


def listening_socket(host: str, port: int, limits: GatewayLimits) -> socket.socket:
    """A bound socket for ``uvicorn.Server.serve(sockets=[…])``; port 0 takes a free one.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.tcp_user_timeout_ms)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class DiscreetUvicorn(logging.Filter):
    """What uvicorn's logger may say.

    On DEBUG it shows the headers of handshakes and the text of frames, and both hold tokens: that level is closed, not
    only unset. A line for each socket that opens or closes says nothing that the metrics do not. Invalid UTF-8 is the
    client's fault, so it needs no traceback; a peer that leaves in the middle of its handshake is no error of ours.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return False
        text = record.getMessage()
        if record.exc_info and "Invalid UTF-8" in text:
            record.exc_info = None
        if text.startswith(_PEER_LEFT):
            return False
        return record.levelno > logging.INFO or not text.endswith(_EVERY_SOCKET)


_PEER_LEFT = "ASGI callable returned without completing handshake"
_EVERY_SOCKET = ("connection open", "connection closed", "[accepted]")
_discreet = DiscreetUvicorn()


def hush_uvicorn() -> None:
    """Put :class:`DiscreetUvicorn` in force. Calling it again changes nothing."""
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(_discreet)
    # The websockets library looks once whether DEBUG is on, and builds every line if it is.
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)
