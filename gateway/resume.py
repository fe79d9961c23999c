"""The resume table of ``kc.v1``: what a cursor gets, decided from three numbers. Every door onto the log uses it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

SEQ_MAX: Final = 2**53 - 1
"""Largest ``seq``: the largest integer that every JSON reader holds exactly."""


class Position(NamedTuple):
    """A client's cursor: it has seen ``seq`` and all before. ``epoch`` None means "of the log as it is"."""

    epoch: str | None
    seq: int


class LogState(NamedTuple):
    """A student's log: its epoch, its last ``seq`` (0 when empty), the oldest ``seq`` still kept (head + 1 if none)."""

    epoch: str
    head: int
    oldest: int = 1


class Reset(StrEnum):
    """Why a cursor cannot be continued."""

    EPOCH = "epoch"
    AHEAD = "ahead"
    EXPIRED = "expired"
    TOO_MANY = "too_many"


def reset_reason(since: Position, log: LogState, replay_max: int | None) -> Reset | None:
    """Why ``since`` cannot be continued, or None when ``since.seq + 1 .. head`` can be sent.

    ``since.seq == oldest - 1`` is still good: everything after it is there.
    ``replay_max`` None: the reader pages and sets its own pace.
    """
    if since.epoch is not None and since.epoch != log.epoch:
        return Reset.EPOCH
    if since.seq > log.head:
        return Reset.AHEAD
    if since.seq < log.head and since.seq < log.oldest - 1:
        return Reset.EXPIRED
    if replay_max is not None and log.head - since.seq > replay_max:
        return Reset.TOO_MANY
    return None
