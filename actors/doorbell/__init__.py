"""Redis as a doorbell: it says at once that something stands in the log, and holds nothing that is promised.

Pub/Sub is at most once and its subscribers can die without a word, so nothing here is relied on: a lost ring is found
by the head in the next ping, a lost connection by our own watchdog. This is the only place that speaks to Redis; the
clients retry nothing by themselves, so that every trouble is seen here and has one name, :class:`DoorbellAway`.
"""

from actors.doorbell.away import DoorbellAway
from actors.doorbell.noticeboard import Noticeboard
from actors.doorbell.publisher import DoorbellPublisher
from actors.doorbell.shelf import VIEWS, DoorbellShelf, view_key
from actors.doorbell.subscriber import DoorbellSubscriber

REVOKE_CHANNEL = "kcactors:revoke"
"""A student id published here closes that student's sessions."""

__all__ = [
    "REVOKE_CHANNEL",
    "VIEWS",
    "DoorbellAway",
    "DoorbellPublisher",
    "DoorbellShelf",
    "DoorbellSubscriber",
    "Noticeboard",
    "view_key",
]
