"""The reporter: pins this node's figures to the board in Redis every two seconds, and reads those of the others.

A node that stops takes its report down; one that dies leaves it, and the others see that it has grown old. Redis away:
the reporter backs off and tries again, and everybody still shows what was last known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

import msgspec

from actors.cluster.report import KEPT_S, LOST_AFTER_S, REPORT_S, NodeReport, Roll, Seen
from actors.doorbell import DoorbellAway, Noticeboard
from supervision import Actor, DependencyUnavailable, Timer

logger = logging.getLogger(__name__)

BOARD = "kcactors:nodes"

_decoder = msgspec.json.Decoder(NodeReport)


class Cluster:
    """What this node last heard of all nodes, itself included. Read from any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._roll = Roll()
        self.heard_s: float | None = None
        """When the board was last read (monotonic); None before the first time."""

    def hear(self, reports: dict[str, NodeReport], wall: float) -> None:
        """Take a reading of the board."""
        now_s = self._now()
        self._roll.hear(reports, now_s, wall)
        self.heard_s = now_s

    def own(self, report: NodeReport) -> None:
        """Take this node's own report."""
        self._roll.own(report, self._now())

    def seen(self) -> list[Seen]:
        """Every node, by name. While the board is away nobody's silence is counted: it may be ours."""
        return self._roll.seen(self.heard_s if self.heard_s is not None else self._now())

    @property
    def board_away(self) -> bool:
        """Whether the board has not been read for so long that it must be away."""
        return self.heard_s is None or self._now() - self.heard_s > LOST_AFTER_S


class Reporter(Actor):
    """See the module.

    Args:
        board: where reports are pinned.
        cluster: told of every reading.
        figures: this node's report now; called in this actor's thread.
    """

    dispatcher: ClassVar[str] = "pinned"
    mailbox_limit: ClassVar[int | None] = 2
    """While Redis is away beats are skipped, not gathered."""

    def __init__(self, board: Noticeboard, cluster: Cluster, figures: Callable[[], NodeReport]) -> None:
        super().__init__()
        self._board = board
        self._cluster = cluster
        self._figures = figures
        self._beats: Timer | None = None
        self._own: NodeReport | None = None

    def on_start(self) -> None:
        """Report now, and then every period."""
        self._beats = self.context.timers.tell_every(REPORT_S, self.actor_ref, "report")
        self.actor_ref.tell("report")

    def on_receive(self, message: object) -> None:
        """Pin, read, pass on."""
        own = self._own = self._figures()
        self._cluster.own(own)
        try:
            pinned = self._board.pin(BOARD, own.id, msgspec.json.encode(own), KEPT_S)
        except DoorbellAway as error:
            raise DependencyUnavailable(f"Redis is away: {error}") from error
        reports: dict[str, NodeReport] = {own.id: own}
        outlived: list[str] = []
        for node, text in pinned.items():
            try:
                report = _decoder.decode(text)
            except msgspec.DecodeError:
                # Of a version that speaks otherwise; its own pages show it.
                logger.debug("a report of %s cannot be read", node)
                continue
            if own.at - report.at > KEPT_S:
                outlived.append(node)
            else:
                reports[node] = report
        self._cluster.hear(reports, own.at)
        for node in outlived:
            self._take_down(node)

    def on_stop(self) -> None:
        """Say goodbye."""
        if self._beats is not None:
            self._beats.cancel()
        if self._own is not None:
            self._take_down(self._own.id)
        self._board.close()

    def on_failure(self, *_: object) -> None:
        """The next reporter has a timer and a connection of its own."""
        if self._beats is not None:
            self._beats.cancel()
        self._board.close()

    def _take_down(self, node: str) -> None:
        try:
            self._board.take_down(BOARD, node)
        except DoorbellAway as error:
            logger.debug("the report of %s stays until it is old: %s", node, error)
