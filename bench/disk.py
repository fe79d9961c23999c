"""How long the disk takes to keep 8 KiB: whatever commits waits for it, and a shared one has stalls of its own."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Final

PAGE: Final = bytes(8192)
FILE_BYTES: Final = 16 << 20
"""As large as one of PostgreSQL's log files, and laid out beforehand as those are."""
PAUSE_S: Final = 0.005


def synced(seconds: float) -> list[float]:
    """Seconds that each write and ``fdatasync`` took, where throwaway servers keep their data."""
    took = []
    with tempfile.TemporaryFile() as file:
        file.write(bytes(FILE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        end_s = time.perf_counter() + seconds
        at = 0
        while (began_s := time.perf_counter()) < end_s:
            os.pwrite(file.fileno(), PAGE, at % FILE_BYTES)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began_s)
            at += len(PAGE)
            time.sleep(PAUSE_S)
    return took
