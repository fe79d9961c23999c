"""A Kafka broker in memory: librdkafka's mock cluster, which speaks the real protocol on a port of loopback.

For development and quick tests. What it does not do:

* it keeps 5 MB per partition and silently drops the oldest records, so a feeder stays within 4 MB of the committed
  offset; everything is gone when it stops;
* a client must be told its version (`API_VERSION`); there is no CreateTopics, use `EmbeddedKafka.create_topic`
  (a topic that a client asks for first gets 4 partitions);
* an empty fetch is answered only after the whole wait that the client allows, and one fetch brings one produced batch
  per partition;
* a group that loses or gains a member waits for its session timeout, less a second, before the others go on: use
  session timeouts of 2 to 6 seconds; a joining member's first SyncGroup may be answered with error 42, the retry joins;
* a client that breaks the protocol can end it: it is a process of its own, so that its owner lives on.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

import kcactors
from kcactors.embedded import librdkafka
from kcactors.embedded.broker_words import Answer, Command
from kcactors.embedded.errors import ServerFailed
from kcactors.embedded.mock_cluster import NAME
from kcactors.embedded.process import ServerProcess
from kcactors.embedded.surroundings import with_import_path

API_VERSION: Final = "2.1"
"""What a client that cannot negotiate has to be told."""

GROUP_DELAY_MS: Final = 500
"""Instead of the 3 s of a real broker, because a group of one gains nothing by waiting. Not less: kafka-python reads a
topic's partitions about 0.1 s after it asks to join, and one that leads a group before that assigns none."""

_ANSWER_TIMEOUT_S = 10.0


class EmbeddedKafka:
    """One broker. A stopped one comes back on another port and empty; for "Kafka is away" use `set_down`.

    Args:
        log: file for what it writes; by default one that is gone with the broker.
        group_delay_ms: how long a new consumer group waits for more members. Enough for all that start together
            spares them the long wait above.

    Its methods may be called from any thread.
    """

    def __init__(self, *, log: Path | None = None, group_delay_ms: int = GROUP_DELAY_MS) -> None:
        self._log = log
        self._group_delay_ms = group_delay_ms
        self._lock = threading.Lock()
        self._bootstrap = ""
        self._process: ServerProcess | None = None
        self._channel: socket.socket | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        if self._process is None:
            raise ServerFailed(NAME, "was not started")
        return self._bootstrap

    @property
    def api_version(self) -> str:
        return API_VERSION

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> None:
        """Bring the broker up, empty; returns when it listens.

        Raises:
            ServerMissing: the wheel that brings it is not installed.
            ServerFailed: it did not come up, with the tail of its log.
        """
        if self.pid is not None:
            return
        librdkafka.library()
        self.stop()
        self._scratch = tempfile.TemporaryDirectory(prefix="kcactors-kafka-")
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_ANSWER_TIMEOUT_S)
        root = str(Path(kcactors.__file__).parents[1])
        with theirs:
            self._process = ServerProcess(
                NAME,
                [
                    sys.executable,
                    "-m",
                    f"{__package__}.broker",
                    str(theirs.fileno()),
                    str(self._group_delay_ms),
                ],
                log=self._log or Path(self._scratch.name) / "kafka.log",
                # The owner found the package by its own sys.path, which the child does not have.
                env=with_import_path(root),
                channel=theirs.fileno(),
            )
        try:
            self._bootstrap = self._read_answer(self._channel).bootstrap
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and forget every record; harmless when it does not run."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; one that is there already stays as it is.

        Raises:
            ServerFailed: the broker refused, or is gone.
        """
        self._tell("create_topic", name, partitions)

    def delete_topic(self, name: str) -> None:
        """Forget a topic and its records; one that is not there is no error."""
        self._tell("delete_topic", name)

    def set_down(self) -> None:
        """Break every connection and refuse new ones; topics, records and offsets stay."""
        self._tell("set_down")

    def set_up(self) -> None:
        """Take connections again, on the same port."""
        self._tell("set_up")

    def advertise(self, host: str, port: int) -> None:
        """Send clients there after their first contact: to a proxy, which they would otherwise pass by."""
        self._tell("advertise", host, port)

    def _tell(self, verb: str, *args: Any) -> None:
        with self._lock:
            if self._channel is None:
                raise ServerFailed(NAME, "was not started")
            with contextlib.suppress(BrokenPipeError):  # the read below says why it is gone
                self._channel.sendall(msgspec.json.encode(Command(verb, list(args))) + b"\n")
            self._read_answer(self._channel)

    def _read_answer(self, channel: socket.socket) -> Answer:
        line = b""
        try:
            while not line.endswith(b"\n"):
                chunk = channel.recv(4096)
                if not chunk:
                    break
                line += chunk
        except (TimeoutError, ConnectionError) as error:
            raise ServerFailed(NAME, f"gave no answer ({error})", self._log_tail()) from error
        if not line:
            raise ServerFailed(NAME, "is gone", self._log_tail())
        answer = msgspec.json.decode(line, type=Answer)
        if answer.refused is not None:
            raise ServerFailed(NAME, answer.refused.removeprefix(NAME).strip())
        return answer

    def _log_tail(self) -> str:
        return self._process.log_tail() if self._process is not None else ""
