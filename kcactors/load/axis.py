"""The axes of a plot: where a value stands between 0 and 1, and which values are named. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

_LEAST: Final = 1e-12
"""Nobody reads less off a plot, and a float that small has no quarter and no logarithm that one could divide by."""


class Scale(StrEnum):
    """How values are spread. ``NINES`` spreads a share as latency plots do: 50, 90, 99, 99.9 % at like distances."""

    LINEAR = "linear"
    LOG = "log"
    NINES = "nines"


class Tick(msgspec.Struct, frozen=True):
    """A named value and where it stands, 0 to 1."""

    at: float
    text: str


class Axis(msgspec.Struct, frozen=True):
    """A scale between two values."""

    scale: Scale
    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value stands; values outside are put on the edge."""
        low, high, here = (_spread(self.scale, each) for each in (self.low, self.high, value))
        return min(1.0, max(0.0, (here - low) / (high - low)))

    def ticks(self) -> list[Tick]:
        """Values worth a name, about five."""
        match self.scale:
            case Scale.LINEAR:
                step = nice_step((self.high - self.low) / 4)
                first = math.ceil(self.low / step - 1e-9)
                last = math.floor(self.high / step + 1e-9)
                return [Tick(self.at(n * step), short(n * step)) for n in range(first, last + 1)]
            case Scale.LOG:
                low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
                steps = (1, 2, 5) if high - low <= 2 else (1,)
                values = [10.0**power * step for power in range(low, high + 1) for step in steps]
                inside = [v for v in values if self.low * 0.999 <= v <= self.high * 1.001]
                return [Tick(self.at(value), short(value)) for value in inside]
            case Scale.NINES:
                shares = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
                return [Tick(self.at(share), f"{share * 100:g} %") for share in shares if share <= self.high]


def axis(scale: Scale, values: Sequence[float]) -> Axis:
    """The axis that holds all of the values; a linear one begins at 0."""
    finite = [value for value in values if math.isfinite(value)]
    match scale:
        case Scale.LINEAR:
            most = max(finite, default=0.0)
            step = nice_step(most / 4) if most >= _LEAST else 0.25
            return Axis(
                scale, min(0.0, min(finite, default=0.0)), max(step, math.ceil(most / step - 1e-9) * step)
            )
        case Scale.LOG:
            above = [value for value in finite if value >= _LEAST] or [1.0]
            low, high = min(above), max(above)
            return Axis(scale, low, high if high > low * 1.001 else low * 10)
        case Scale.NINES:
            return Axis(scale, 0.0, max(0.9, max(finite, default=0.0)))


def nice_step(least: float) -> float:
    """The first of 1, 2, 2.5, 5 times a power of ten that is not below ``least``, which is above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in (1.0, 2.0, 2.5, 5.0, 10.0) if power * step >= least * (1 - 1e-9))


def short(value: float) -> str:
    """A number as an axis has room for it: 950, 1.5k, 20k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _spread(scale: Scale, value: float) -> float:
    match scale:
        case Scale.LINEAR:
            return value
        case Scale.LOG:
            return math.log10(max(value, _LEAST))
        case Scale.NINES:
            return -math.log10(1 - min(value, 0.999999))
