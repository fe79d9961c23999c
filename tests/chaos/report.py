"""What a row of storms came to, in one file: each fault with its time, and what the audit found."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos.audit import CHECKS
from tests.chaos.faults import KINDS
from tests.chaos.storm import Found

NAME: Final = "report.md"


def write(folder: Path, storms: Sequence[Found]) -> None:
    """Write it, and ``report.json`` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("report.json").write_bytes(msgspec.json.format(msgspec.json.encode(storms), indent=1))
    folder.joinpath(NAME).write_text(markdown(storms))


def markdown(storms: Sequence[Found]) -> str:
    """The storms for a person to read."""
    kept = sum(not storm.wrong for storm in storms)
    began = Counter(kind for storm in storms for kind in _kinds(storm))
    lines = [
        f"# {kept} of {len(storms)} storms were survived",
        "",
        f"{sum(s.deliveries for s in storms)} deliveries, {sum(s.purchases for s in storms)} purchases.",
        "Faults: " + ", ".join(f"{kind} {began[kind]}" for kind in KINDS) + ".",
        "",
        "Each audit asks for: "
        + "; ".join(CHECKS)
        + "; payments that were lost; purchases of nothing; undecodable"
        " records that were not parked, or others that were; numbers of a student that are missing or out of order on"
        " Kafka; records that are not committed.",
        "",
        "| seed | nodes | brokers | deliveries | purchases | faults | seconds | audit |",
        "|-----:|------:|--------:|-----------:|----------:|-------:|--------:|-------|",
    ]
    lines += [
        f"| {s.seed} | {s.nodes} | {s.brokers} | {s.deliveries} | {s.purchases} | {len(list(_kinds(s)))}"
        f" | {s.seconds:.0f} | {_verdict(s)} |"
        for s in storms
    ]
    for storm in storms:
        lines += ["", f"## Seed {storm.seed}: {_verdict(storm)}", ""]
        lines += [f"- {wrong}" for wrong in storm.wrong]
        lines += ["```text", *storm.faults, "```"]
    return "\n".join(lines) + "\n"


def _verdict(storm: Found) -> str:
    return f"{len(storm.wrong)} FINDINGS" if storm.wrong else "clean"


def _kinds(storm: Found) -> list[str]:
    return [kind for fault in storm.faults if "healed" not in fault for kind in KINDS if kind in fault]
