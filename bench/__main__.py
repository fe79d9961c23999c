"""``make bench [GROUP=name]``: measure, print tables with ratios, write ``bench/results/latest.json``.

Every ratio is against a baseline that ran in the same minutes on the same machine; single figures say little on a
machine that is shared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

GROUPS = ("runtime", "ledger", "end_to_end", "latency", "gateway", "dashboard", "scale")
RESULTS = Path(__file__).parent / "results" / "latest.json"


def present() -> dict[str, str]:
    """Group to module, for the groups that there are."""
    here = Path(__file__).parent
    return {group: f"bench.{group}" for group in GROUPS if (here / f"{group}.py").exists()}


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a person reads them."""
    width = max((len(row["name"]) for row in rows), default=0)
    lines = []
    for row in rows:
        ratio = f"   {row['ratio']:.2f} x {row['baseline']}" if row["ratio"] is not None else ""
        lines.append(f"  {row['name']:<{width}}  {row['value']:>14,.2f} {row['unit']}{ratio}")
    return "\n".join(lines)


def main() -> None:
    groups = present()
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--group", choices=sorted(groups), action="append", help="one group; all when left out"
    )
    wanted = parser.parse_args().group or list(groups)
    rows: list[dict[str, Any]] = []
    for group in wanted:
        print(f"measuring {group} …", file=sys.stderr, flush=True)
        measured = importlib.import_module(groups[group]).main([])
        rows += measured
        print(f"\n{group}\n{table(measured)}\n", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "results": rows}, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


if __name__ == "__main__":
    main()
