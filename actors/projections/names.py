"""Names for the events that a projection is about to log, computed beside the database. Pure.

In the database a name costs 130 microseconds, since SHA-1 has to be written out there; it was more than half of
what the plan of a purchase's sessions cost. What has no name here gets it there: the same one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from actors.ingest.records import mark
from actors.projections.position import Published
from actors.protocol.ids import event_id

Names = Mapping[str, Mapping[str, str]]
"""By student and purchase."""

GRANTED, PLANNED = b"COURSE_ACCESS_GRANTED", "SESSIONS_PLANNED"
TYPE: Final = mark("ce_type")
SUBJECT: Final = mark("ce_subject")


def no_names(_records: Iterable[Published]) -> Names:
    """For a projection that logs nothing."""
    return {}


def plans(records: Iterable[Published]) -> Names:
    """What the plans of the purchases whose access was granted are called."""
    named: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        if record.header(TYPE) != GRANTED:
            continue
        try:
            student = str(UUID((record.key or b"").decode()))
            purchase = str(UUID((record.header(SUBJECT) or b"").decode()))
        except ValueError:
            # a stranger's record
            continue
        named[student][purchase] = event_id(purchase, PLANNED)
    return named
