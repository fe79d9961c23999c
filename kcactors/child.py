"""A node as a child process of the one that runs the embedded services."""

from __future__ import annotations

import http.client
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kcactors.embedded.ports import LOOPBACK
from kcactors.embedded.process import ServerProcess
from kcactors.embedded.surroundings import inherited
from kcactors.environment import PREFIX

READY_TIMEOUT_S: Final = 45.0
_PROBE_TIMEOUT_S: Final = 2.0


class ChildNode:
    """``kcactors node`` on a port of loopback; it dies with its owner.

    Args:
        port: where it listens.
        settings: environment variables of `kcactors.settings`; the owner's own do not reach it.
        log: file that receives its log, appended.
        own_session: keep it out of the owner's process group, and so away from the terminal's Ctrl-C.
        module: what is run in place of ``kcactors``, for a node that tells more about itself.
    """

    def __init__(
        self,
        port: int,
        settings: Mapping[str, str],
        *,
        log: Path,
        own_session: bool = True,
        module: str = "kcactors",
    ) -> None:
        self.port = port
        self._process = ServerProcess(
            f"the node on port {port}",
            [sys.executable, "-m", module, "node", "--host", LOOPBACK, "--port", str(port)],
            log=log,
            env=inherited(without=PREFIX, with_=settings),
            own_session=own_session,
        )

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.exit_code

    def log_text(self) -> str:
        """What it has written so far."""
        return self._process.log_text()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns when ``/readyz`` answers 200. Raises `ServerFailed` with the end of its log when it does not."""
        self._process.wait_ready(self._ready, timeout_s=timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Delivers a signal, unless it has ended."""
        self._process.send(number)

    def stop(self, *, timeout_s: float = 15.0) -> None:
        """Asks it to drain and end; ends it by force after ``timeout_s``."""
        self._process.stop(timeout_s=timeout_s)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
