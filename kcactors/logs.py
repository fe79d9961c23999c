"""Where log lines go and what they look like: standard error, for people or as one JSON object a line.

No secret and no token may reach a log line, wherever it comes from (an exception text with a URL in it, a
library's debug line), so the last step before the stream masks them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

from kcactors.environment import MASK

_JWT = r"eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]{4,}"
_URL_LOGIN = r"(?<=://)([^\s:/@]*):[^\s@/]+(?=@)"
_SIGNATURE = r"(?<=v1=)[0-9a-fA-F]{16,}"
_MASKED = re.compile(f"{_JWT}|{_URL_LOGIN}|{_SIGNATURE}")


class Mask:
    """Replaces tokens, signatures, passwords within URLs, and the given secrets.

    Args:
        secrets: texts to hide wherever they occur; shorter than 6 characters are left alone, as they would
            blot out half of every line.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """The text with every secret in it masked."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _MASKED.sub(lambda match: f"{match[1]}:{MASK}" if match[1] is not None else MASK, text)


class ConsoleFormatter(logging.Formatter):
    """One readable line, and the traceback below it where there is one."""

    def __init__(self, mask: Mask) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked."""
        return self._mask(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts (RFC 3339, UTC), level, logger, node, message, and error if any."""

    def __init__(self, mask: Mask, node: str) -> None:
        super().__init__()
        self._mask = mask
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked before it is quoted, so that quoting cannot hide a secret from the mask."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "node": self._node,
            "message": self._mask(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = self._mask(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def configure(
    form: Literal["console", "json"] = "console",
    level: str = "INFO",
    *,
    node: str = "",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Sends the log of the whole process to one stream (standard error), replacing what was set before."""
    mask = Mask(secrets)
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(mask, node) if form == "json" else ConsoleFormatter(mask))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # The client libraries tell their connection story at INFO, several lines for each reconnect.
    for chatty in ("kafka", "asyncio", "uvicorn.access", "websockets"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
