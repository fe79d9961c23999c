"""What the checkout button of the learning page needs; only ``kcactors dev`` provides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec


class CourseForSale(msgspec.Struct, frozen=True):
    """A course of the demo catalogue."""

    course_id: UUID
    title: str


@dataclass(frozen=True)
class DevShop:
    """A shop window for development.

    Args:
        secret: signs the button's payment as the platform would; it never leaves the server.
        courses: what can be bought.
    """

    secret: str
    courses: Callable[[], Awaitable[Sequence[CourseForSale]]]
