"""A server as a child process: start it, wait until it is ready, stop it, say what it last wrote."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from kcactors.embedded.errors import ServerFailed

_LAUNCHER = Path(__file__).with_name("launch.py")
_READY_POLL_S = 0.02


class Account(NamedTuple):
    """The user that a server runs as where its owner is root and the server refuses root."""

    uid: int
    gid: int


class _Spawner:
    """Starts every child from one thread that lives as long as the process.

    Linux sends the death signal when the *thread* that made the child ends, so that a server restarted by a
    short-lived thread would die with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ]
        self._work = queue.SimpleQueue()
        self._pid = 0

    def popen(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pid != os.getpid():  # first use, or a forked child, which has no threads
                self._pid = os.getpid()
                threading.Thread(target=self._run, name="embedded-spawner", daemon=True).start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((start, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            start, answer = self._work.get()
            try:
                answer.set_result(start())
            except OSError as error:
                answer.set_exception(error)


_spawner = _Spawner()


class ServerProcess:
    """One server process. It is started once; a restart is a new ServerProcess.

    Args:
        name: as people call it, for errors.
        argv: an absolute program path and its arguments.
        log: file that receives its standard output and error, appended.
        env: its whole environment; by default the owner's.
        account: the user it runs as, for owners that are root.
        death_signal: what it gets when the owner dies, however that dies (Linux only).
        own_session: keep terminal signals (Ctrl-C) of the owner's group away from it.
        channel: a descriptor that the server inherits under the same number.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        own_session: bool = True,
        channel: int | None = None,
    ) -> None:
        self.name = name
        self._log = log
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), "--owner", str(os.getpid())]
        command += ["--death-signal", str(int(death_signal))]
        if account is not None:
            command += ["--uid", str(account.uid), "--gid", str(account.gid)]
        command += ["--", *argv]
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._popen = _spawner.popen(
                lambda: subprocess.Popen(  # noqa: S603  the argv is ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    start_new_session=own_session,
                    pass_fds=() if channel is None else (channel,),
                )
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As the process left it; minus the signal's number where a signal ended it; None while it lives."""
        return self._popen.poll()

    def log_text(self) -> str:
        """What this process wrote; not what an earlier one wrote to the same file."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return as soon as ``is_ready`` says so.

        Raises:
            ServerFailed: it ended instead, or the time is up. It still runs then; `stop` it.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.alive:
                if is_ready():  # it ended, as it should, between the two looks
                    return
                raise ServerFailed(self.name, f"ended with {self.exit_code} while starting", self.log_tail())
            if time.monotonic() > deadline:
                raise ServerFailed(self.name, f"was not ready after {timeout_s:g} s", self.log_tail())
            time.sleep(_READY_POLL_S)

    def send(self, number: signal.Signals) -> None:
        """Deliver a signal, unless the process has ended."""
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout_s: float = 10.0) -> None:
        """Ask it to end, and end it by force when it has not after ``timeout_s``. Harmless when it has ended."""
        self._popen.send_signal(signal.SIGCONT)  # a paused process would not see the request
        self._popen.send_signal(number)
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
