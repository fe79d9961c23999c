"""A socket that did not become a connection is closed: kafka-python 3.0 leaves that to the garbage collector.

It drops the socket of a refused connection, and the one that was connecting when a client was closed. While a broker is
away each try leaves one open in a circle of references, and our collector no longer looks at what has outlived one of
its passes (`supervision.collector`). The library lets a scheme of ``proxy_url`` name its own way to connect; ours goes
directly, as without one.
"""

from __future__ import annotations

from typing import Any, Final

from kafka.net.inet import KafkaNetSocket

SCHEME: Final = "kcactors"
DIRECT: Final = f"{SCHEME}://"
"""The ``proxy_url`` of every client."""


class DirectSocket(KafkaNetSocket):  # type: ignore[misc]  # the client has no types
    """Connects as the library does, and closes what it could not connect."""

    SCHEMES = (SCHEME,)

    async def sock_connect(self, net: Any, sock: Any, *where: Any, **until: Any) -> Any:
        """The connected socket; closed when that fails, or is given up."""
        try:
            return await super().sock_connect(net, sock, *where, **until)
        except BaseException:
            sock.close()
            raise
