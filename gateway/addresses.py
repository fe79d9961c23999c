"""How many sessions an address has. Off (0) by default: schools and carriers share addresses."""

from __future__ import annotations

from collections import Counter

from starlette.requests import HTTPConnection


class Addresses:
    """Counts sessions per client address, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    def enter(self, connection: HTTPConnection) -> bool:
        """Count one more. False: the address has all that it may have."""
        if not self._limit:
            return True
        address = _address(connection)
        if self._open[address] >= self._limit:
            return False
        self._open[address] += 1
        return True

    def leave(self, connection: HTTPConnection) -> None:
        """Count one less."""
        if self._limit:
            address = _address(connection)
            self._open[address] -= 1
            if self._open[address] <= 0:
                del self._open[address]


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""
