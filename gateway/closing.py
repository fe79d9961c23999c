"""The close codes of ``kc.v1`` and what a client does about each.

Centrifugo's convention: 40xx to 44xx mean come back, 45xx and above mean stop. The server never sends 1000 when it
wants the client back.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias

import msgspec

Policy: TypeAlias = Literal["reconnect", "refresh", "refresh_once", "stop"]


class CloseRow(msgspec.Struct, frozen=True):
    """One row of the table: the code, its reason word, and the client's policy with its shortest pause."""

    code: int
    reason: str
    client: Policy
    min_ms: int = 0


class Close(Enum):
    """Every code that this server sends by its own will."""

    GOING_AWAY = CloseRow(4000, "going_away", "reconnect")
    TOKEN_EXPIRED = CloseRow(4001, "token_expired", "refresh")
    SLOW_CONSUMER = CloseRow(4002, "slow_consumer", "reconnect", 1000)
    NO_PONG = CloseRow(4003, "no_pong", "reconnect", 1000)
    SERVER_ERROR = CloseRow(4004, "server_error", "reconnect", 1000)
    RATE_LIMITED = CloseRow(4005, "rate_limited", "reconnect", 1000)
    STALE_CONNECT = CloseRow(4006, "stale_connect", "reconnect", 1000)
    OVER_CAPACITY = CloseRow(4007, "over_capacity", "reconnect", 5000)
    INVALID_TOKEN = CloseRow(4500, "invalid_token", "refresh_once")
    BAD_REQUEST = CloseRow(4501, "bad_request", "stop")
    UNSUPPORTED_VERSION = CloseRow(4502, "unsupported_version", "stop")
    REVOKED = CloseRow(4503, "revoked", "stop")
    CONNECTION_LIMIT = CloseRow(4504, "connection_limit", "stop")

    @property
    def code(self) -> int:
        """What goes over the wire."""
        return self.value.code

    @property
    def reason(self) -> str:
        """The word beside it, and the label in metrics."""
        return self.value.reason


CLOSE_TABLE: Final = tuple(close.value for close in Close)
