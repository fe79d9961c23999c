"""Waiting for a log record instead of for time."""

import logging
import threading
from collections.abc import Iterator

import pytest


class LogWatch(logging.Handler):
    """Keeps what is logged, from every thread, and lets a test wait for a record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def find(self, text: str, *, logger: str = "") -> list[logging.LogRecord]:
        """The records so far that contain ``text``, of this logger and those below it."""
        return [
            record
            for record in list(self.records)
            if text in record.getMessage() and (record.name + ".").startswith(logger and logger + ".")
        ]

    def wait_for(
        self, text: str, *, logger: str = "", count: int = 1, timeout_s: float = 10.0
    ) -> logging.LogRecord:
        """Return the ``count``-th matching record as soon as there is one."""
        with self._changed:
            if self._changed.wait_for(lambda: len(self.find(text, logger=logger)) >= count, timeout_s):
                return self.find(text, logger=logger)[count - 1]
        seen = "\n".join(f"{record.name}: {record.getMessage()}" for record in self.records[-20:])
        raise AssertionError(
            f"no {count} log records with {text!r} after {timeout_s:g} s; the last ones:\n{seen}"
        )


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A test that runs a command line leaves no stream behind that is closed by the time a client's thread logs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for left in [each for each in root.handlers if each not in handlers]:
        if isinstance(left, logging.StreamHandler):
            root.removeHandler(left)
    for gone in [each for each in handlers if each not in root.handlers]:
        root.addHandler(gone)
    root.setLevel(level)


@pytest.fixture
def log_watch() -> Iterator[LogWatch]:
    """Everything logged at DEBUG or above while the test runs."""
    watch, root = LogWatch(), logging.getLogger()
    level = root.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    try:
        yield watch
    finally:
        root.removeHandler(watch)
        root.setLevel(level)
