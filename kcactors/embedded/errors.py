"""What can go wrong with an embedded server, sorted by what its owner can do about it."""

from __future__ import annotations


class ServiceTrouble(Exception):
    """An embedded server cannot be used; the text says which one, why, and what helps."""


class ServerMissing(ServiceTrouble):
    """The server's program is not on this machine: install what the text names."""


class DataDirInUse(ServiceTrouble):
    """Another living process works with this data folder: stop that one, or choose another folder."""


class ServerFailed(ServiceTrouble):
    """The server did not come up, or went away; the text ends with the last lines of its log.

    Args:
        name: the server, as people call it.
        reason: what was expected and did not happen.
        log_tail: the last lines that it wrote.
    """

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        super().__init__(f"{name} {reason}" + (f"; its last words:\n{log_tail}" if log_tail else ""))
        self.name = name
        self.reason = reason
        self.log_tail = log_tail
