"""``make bench [GROUP=name]``: measure, print tables with ratios, write ``bench/results/``.

Every ratio is against a baseline that ran in the same minutes on the same machine; single figures say little on a
machine that is shared. ``sweeps``, ``storm`` and ``stages`` take long or answer another question: they run only when
they are named. What a group alone understands (`storm --runs 1`) is said with it. See ``bench/README.md``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import yardstick
from bench.beside import Measured
from bench.figures import Row, plots, table

GROUPS = ("runtime", "ledger", "end_to_end", "latency", "gateway", "dashboard", "scale")
"""What `make bench` runs."""

NAMED = ("sweeps", "storm", "stages")
"""What runs only when it is named."""

RESULTS = Path(__file__).parent / "results"


def present() -> dict[str, str]:
    """Group to module, for the groups that there are."""
    here = Path(__file__).parent
    return {group: f"bench.{group}" for group in (*GROUPS, *NAMED) if (here / f"{group}.py").exists()}


def machine() -> dict[str, Any]:
    """What the figures were made on, and what else ran there."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_1m_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def keep(name: str, made: dict[str, Any], rows: list[Row]) -> None:
    """Write the rows with how they were made."""
    document = {"machine": made, "command": " ".join(["python -m bench", *sys.argv[1:]]), "results": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def main() -> None:
    groups = present()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(groups))
    parser.add_argument("--group", action="append", default=[], help="the same, as make says it")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter runs, where a group knows how"
    )
    options, own = parser.parse_known_args()
    wanted = [*options.groups, *options.group] or [group for group in GROUPS if group in groups]
    if unknown := sorted(set(wanted) - set(groups)):
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(groups)}")
    if own and len(wanted) != 1:
        parser.error(f"{' '.join(own)} can be said to one group only")
    made, rows = machine(), []
    for group in wanted:
        module = importlib.import_module(groups[group])
        if (lacks := getattr(module, "lacks", None)) is not None and (lacking := lacks()) is not None:
            print(f"left out: {group}: {lacking}", file=sys.stderr, flush=True)
            continue
        print(f"measuring {group} …", file=sys.stderr, flush=True)
        quick = ["--quick"] if options.quick and getattr(module, "KNOWS_QUICK", False) else []
        took_us: list[Measured] = []
        with yardstick.beside(took_us):
            measured = module.main([*quick, *own])
        measured.append(yardstick.row(group, took_us))
        rows += measured
        keep(group, made, measured)
        for old in RESULTS.glob(f"{group}-*.svg"):
            old.unlink()
        for name, drawing in getattr(module, "plots", plots)(measured).items():
            (RESULTS / name).write_text(drawing)
        print(f"\n{group}\n{table(measured)}\n", flush=True)
    if not rows:
        sys.exit("nothing was measured")
    keep("latest", made, rows)
    print(f"written to {RESULTS}/")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
