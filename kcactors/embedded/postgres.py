"""PostgreSQL on a data folder: made on first use, kept across stops, safe against a kill of its owner.

What lies in the folder::

    lock          held by the living owner, so that two owners never share one server
    server.json   where the data really are, the password, the last port
    log           what the server wrote
    data/         PGDATA (elsewhere if the user that the server runs as cannot reach this place, see unprivileged.py)

When the owner dies the server is asked to shut down (Linux); one that still runs is stopped by the next owner before
it starts its own. fsync stays on, so a kill at any moment costs a recovery and no data.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from kcactors.embedded import ports
from kcactors.embedded.errors import ServerFailed
from kcactors.embedded.folder_lock import FolderLock
from kcactors.embedded.orphan import end_orphan
from kcactors.embedded.postgres_install import programs
from kcactors.embedded.process import Account, ServerProcess
from kcactors.embedded.surroundings import inherited
from kcactors.embedded.unprivileged import account_for, can_reach, shelter, shelter_name

NAME = "PostgreSQL"
_ROLE = "kcactors"
_START_TIMEOUT_S = 30.0
_RETRY_S = 0.25

LOG_FILE_MB = 16

SETTINGS: Mapping[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
    "log_checkpoints": "off",
}
"""For a machine with two cores whose other programs want memory too."""


class _Remembered(msgspec.Struct):
    """server.json: what the next start has to know."""

    data: str
    password: str
    port: int


class EmbeddedPostgres:
    """One PostgreSQL server and its data folder.

    Args:
        data_dir: made when it is not there. The parents' permissions are left alone.
        database: made when it is not there.
        settings: server settings that differ from `SETTINGS`.
        log_files: of the write-ahead log, 16 MiB each, laid out when the data are made. A server that has run for a
            while finds them there; a new one stops all commits for 10 to 50 ms each time it needs one.

    ``start`` and ``stop`` may alternate; the port and the url stay the same meanwhile.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database: str = "kcactors",
        settings: Mapping[str, str] | None = None,
        log_files: int = 0,
    ) -> None:
        self._dir = data_dir.absolute()
        self._database = database
        self._log_files = log_files
        # what a checkpoint may keep for later
        ahead = {"min_wal_size": f"{LOG_FILE_MB * log_files}MB"} if log_files else {}
        self._settings = {**SETTINGS, **ahead, **(settings or {})}
        self._remembered: _Remembered | None = None
        self._process: ServerProcess | None = None
        self._lock = FolderLock(self._dir)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._known.port

    @property
    def url(self) -> str:
        """With the password, for the database of this server's name."""
        return self.url_of(self._database)

    def url_of(self, database: str) -> str:
        """The same server, another database."""
        known = self._known
        return f"postgresql://{_ROLE}:{known.password}@{ports.LOOPBACK}:{known.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The postmaster's, while it runs."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def data(self) -> Path:
        """PGDATA."""
        return Path(self._known.data)

    @property
    def _known(self) -> _Remembered:
        if self._remembered is None:
            raise ServerFailed(NAME, "was not started")
        return self._remembered

    def start(self) -> None:
        """Bring the server up; returns when it takes connections.

        Raises:
            ServerMissing: the programs are not installed.
            DataDirInUse: another living process owns this folder.
            ServerFailed: it did not come up, with the tail of its log.
        """
        if self.pid is not None:
            return
        self._dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._lock.take()
        try:
            remembered = self._recall()
            account = account_for(Path(remembered.data))
            binaries = programs(account)
            end_orphan(Path(remembered.data))
            new = not (Path(remembered.data) / "PG_VERSION").exists()
            if new:
                self._init(binaries, account, remembered)
            self._run(binaries, account, remembered)
            self._ensure_database(binaries)
            if new and self._log_files:
                self._lay_out_log(binaries)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Shut down cleanly, breaking open connections; harmless when it does not run."""
        if self._process is not None:
            self._process.stop(signal.SIGINT, timeout_s=timeout_s)
            self._process = None
        self._lock.release()

    def kill(self) -> None:
        """End it as a crash would: no checkpoint, no goodbye. The next `start` recovers from the log."""
        if self._process is not None:
            # The backends end by themselves when they find the postmaster gone.
            self._process.stop(signal.SIGKILL)
            self._process = None

    def destroy(self) -> None:
        """Stop it and delete its folder with all data, wherever they lie."""
        self.stop()
        if self._remembered is not None:
            data = Path(self._remembered.data)
            shutil.rmtree(data if data.is_relative_to(self._dir) else data.parent)
            self._remembered = None
        shutil.rmtree(self._dir, ignore_errors=True)

    def _recall(self) -> _Remembered:
        """What an earlier start wrote down, or a fresh plan where there was none."""
        path = self._dir / "server.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=_Remembered)
        data = self._dir / "data"
        account = account_for(data)
        if account is not None and not can_reach(account, self._dir):
            home = shelter(account, shelter_name(self._dir))
            data = home / "data"
            # Left by a folder of this name that was deleted since: with server.json gone, nobody knows its password.
            shutil.rmtree(data, ignore_errors=True)
        return _Remembered(str(data), secrets.token_urlsafe(18), 0)

    def _remember(self, remembered: _Remembered) -> None:
        path = self._dir / "server.json"
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(remembered)))
        fresh.replace(path)
        self._remembered = remembered

    def _init(self, binaries: Path, account: Account | None, remembered: _Remembered) -> None:
        """Make the cluster aside and rename it, so that an interrupted initdb leaves no half cluster behind."""
        data = Path(remembered.data)
        fresh, password_file = data.with_name("data.new"), data.with_name("password.new")
        shutil.rmtree(fresh, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        fresh.mkdir(mode=0o700)
        password_file.touch(mode=0o600)
        password_file.write_text(remembered.password)
        if account is not None:
            os.chown(fresh, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", _ROLE, f"--pwfile={password_file}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        log = self._dir / "log"
        initdb = ServerProcess("initdb", command, log=log, account=account, env=_environment())
        initdb.wait_ready(lambda: initdb.exit_code == 0, timeout_s=60.0)
        password_file.unlink()
        fresh.rename(data)

    def _run(self, binaries: Path, account: Account | None, remembered: _Remembered) -> None:
        """Start the server, on another port or a little later where that is what it lacks."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        free = ports.candidates(remembered.port or None)
        port = next(free)
        while True:
            process = self._launch(binaries, account, remembered.data, port)
            self._process = process
            try:
                ready = functools.partial(_is_ready, process, Path(remembered.data))
                process.wait_ready(ready, timeout_s=deadline - time.monotonic())
            except ServerFailed as error:
                if "Address already in use" in error.log_tail and (another := next(free, None)):
                    port = another
                # Backends of a killed postmaster hold its memory until they notice.
                elif "is still in use" in error.log_tail and time.monotonic() < deadline:
                    time.sleep(_RETRY_S)
                else:
                    raise
            else:
                self._remember(msgspec.structs.replace(remembered, port=port))
                return

    def _launch(self, binaries: Path, account: Account | None, data: str, port: int) -> ServerProcess:
        command = [str(binaries / "postgres"), "-D", data, "-p", str(port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return ServerProcess(
            NAME,
            command,
            log=self._dir / "log",
            account=account,
            env=_environment(),
            death_signal=signal.SIGINT,
        )

    def _ensure_database(self, binaries: Path) -> None:
        with contextlib.suppress(ServerFailed):
            _psql(binaries, self.url, "SELECT")
            return
        _psql(binaries, self.url_of("postgres"), f'CREATE DATABASE "{self._database}"')

    def _lay_out_log(self, binaries: Path) -> None:
        """Fill one file after the other; the checkpoint then keeps them for what comes."""
        statement = (
            f"do $$ begin for n in 1 .. {self._log_files} loop"
            " perform pg_logical_emit_message(false, 'kcactors', 'next'); perform pg_switch_wal(); end loop; end $$"
        )
        _psql(binaries, self.url, statement)
        _psql(binaries, self.url, "checkpoint")


def _is_ready(process: ServerProcess, data: Path) -> bool:
    """As the server itself says in its pid file: first line the pid, eighth the state."""
    with contextlib.suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"
    return False


def _environment() -> dict[str, str]:
    """Without the owner's PG* variables, which would reach the server and its tools."""
    return inherited(without="PG", with_={"LC_ALL": "C"})


def _psql(binaries: Path, url: str, statement: str) -> None:
    done = subprocess.run(  # noqa: S603  our program, our arguments
        [str(binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=_START_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(NAME, f"refused {statement!r}", done.stderr.strip())
