"""What the settings have in common: the bounds of a number in its unit."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Count: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=604_800)]
