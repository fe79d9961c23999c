"""How long payments took inside the node, from its own metrics: without the way there and without whoever measures."""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Mapping

WITHIN = "kcactors_payment_to_commit_seconds"


def buckets(url: str, via: str) -> dict[float, float]:
    """How many payments the node has written within so many seconds of having them, by the bound; from its metrics."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310  (our own node)
        said = answer.read().decode()
    found = {}
    for labels, count in re.findall(rf"^{WITHIN}_bucket\{{(.*)\}} (\S+)$", said, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if named["via"] == via:
            found[float(named["le"])] = float(count)
    return found


def share_within(before: Mapping[float, float], after: Mapping[float, float], bound_s: float) -> float:
    """Of the payments between two looks, per cent that took no longer; a bound of the metric."""
    came = after[math.inf] - before.get(math.inf, 0.0)
    return (after[bound_s] - before.get(bound_s, 0.0)) / came * 100
