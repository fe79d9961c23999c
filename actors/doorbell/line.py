"""What a subscriber knows about one channel: the difference between a wish, a command and a confirmation."""

from __future__ import annotations

import asyncio


class Line:
    """One channel: who wants it, what was last said to Redis about it, and which confirmations are still to come."""

    __slots__ = ("confirmed", "pending", "users", "waiters", "wired")

    def __init__(self) -> None:
        self.users = 0
        self.wired = False
        self.pending = 0
        self.confirmed = False
        self.waiters: list[asyncio.Future[bool]] = []

    def answer(self, *, confirmed: bool) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(confirmed)
