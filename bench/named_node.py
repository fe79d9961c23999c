"""A node that says which of its threads is which: Python 3.11 does not tell the kernel. Run by `bench.stages`."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from kcactors.cli import run

SAY_EVERY_S = 0.5
NAMES = "BENCH_THREAD_NAMES"


def say(at: Path) -> None:
    """Write the kernel's number and our name of each thread, again and again."""
    while True:
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        beside = at.with_suffix(".new")
        beside.write_text(json.dumps(names))
        beside.replace(at)
        threading.Event().wait(SAY_EVERY_S)


if __name__ == "__main__":
    threading.Thread(target=say, args=(Path(os.environ[NAMES]),), name="bench-names", daemon=True).start()
    sys.exit(run(sys.argv[1:]))
