"""A PostgreSQL server whose owner is gone: found by its pid file, ended before the next owner starts its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from pathlib import Path

from kcactors.embedded.errors import ServerFailed

log = logging.getLogger(__name__)

_FAST_S = 15.0
_IMMEDIATE_S = 5.0
_POLL_S = 0.05


def end_orphan(data: Path) -> None:
    """Shut down a server that still runs on this data folder. The caller holds the folder's lock, so nobody owns it.

    Raises:
        ServerFailed: it does not end.
    """
    pid = _postmaster(data)
    if pid is None:
        return
    log.warning("PostgreSQL (pid %d) still runs on %s without an owner; taking over", pid, data)
    # Fast shutdown first; the immediate one skips the checkpoint, which the next start makes up for.
    for number, patience_s in ((signal.SIGINT, _FAST_S), (signal.SIGQUIT, _IMMEDIATE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if _postmaster(data) is None:
                return
            time.sleep(_POLL_S)
    raise ServerFailed("PostgreSQL", f"(pid {pid}) runs on {data} and does not stop")


def _postmaster(data: Path) -> int | None:
    """The living server of this folder. A pid file alone proves nothing: the number may belong to another by now."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        if str(data) in _command_line(pid):
            return pid
    return None


def _command_line(pid: int) -> str:
    """Empty for a process that is gone, or is a zombie."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
