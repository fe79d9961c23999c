"""What pairs of measurements say: a ratio and how sure it is.

Two kinds that take turns see the same machine, so their ratio is steadier than either. Of the ratios the Hodges-Lehmann
estimate is given (the median of all means of two), with the interval that belongs to Wilcoxon's signed ranks: a block
that something else disturbed moves neither much, and no shape of the noise is assumed but that it is symmetric.
(J. L. Hodges and E. L. Lehmann, Annals of Mathematical Statistics 34, 1963.)
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Final, NamedTuple

Z_95: Final = 1.959964
PAIRS_MIN: Final = 6
"""With fewer no interval holds 95 %."""


class Estimate(NamedTuple):
    """The ratio and its 95 % confidence interval; without bounds (infinite) when the pairs are too few."""

    ratio: float
    low: float
    high: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The ratio of ``ours`` by ``theirs``, measured in pairs. Raises ``ValueError`` for none or a different number."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    if not ratios:
        raise ValueError("no pairs")
    means = sorted((first + second) / 2 for first, second in combinations_with_replacement(ratios, 2))
    middle = statistics.median(means)
    count = len(ratios)
    if count < PAIRS_MIN:
        return Estimate(middle, -math.inf, math.inf)
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    outside = max(0, math.floor(len(means) / 2 - Z_95 * spread))
    return Estimate(middle, means[outside], means[-1 - outside])
