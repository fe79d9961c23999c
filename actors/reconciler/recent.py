"""From when on a recent look reads, so that each row is read by one look at least. Pure.

It goes by the times that rows carry. A row that was written with an older time, or that became visible later than
:data:`MARGIN_S` allows, is for the look at the whole table.
"""

from __future__ import annotations

import msgspec

MARGIN_S = 3.0
"""A transaction may take the age that a look asks for, and so much more, until its rows are visible."""
FURTHEST_S = 60.0
"""How far the first look goes back, and those after looks that failed or found something."""


class Recent(msgspec.Struct):
    """One kind of look, which passes over what is younger than ``age_s``. Times are monotonic seconds."""

    age_s: float
    began_s: float | None = None

    def back_s(self, now_s: float) -> float:
        """How many seconds back the times begin that a look has to read now."""
        since_s = FURTHEST_S if self.began_s is None else min(now_s - self.began_s, FURTHEST_S)
        return since_s + self.age_s + MARGIN_S

    def done(self, began_s: float) -> None:
        """A look that began then found nothing.

        After one that found something the next begins where it began: there may be more than it named, and what was
        brought again may have failed.
        """
        self.began_s = began_s
