"""What the door counts. Labels are kinds, codes and causes, never students."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class GatewayMetrics:
    """The door's metrics in one registry; it is the :class:`~gateway.session.Tally` of the sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._heals = Counter(
            "kcactors_heal", "Repairs of a session's stream, by cause", ["cause"], registry=registry
        )
        self._resumes = Counter("kcactors_resume", "Judged cursors, by result", ["resume"], registry=registry)
        self._resets = Counter("kcactors_reset", "Void cursors, by reason", ["reason"], registry=registry)
        self._closes = Counter(
            "kcactors_session_close",
            "Closed sessions, by code and reason",
            ["code", "reason"],
            registry=registry,
        )
        self._refusals = Counter(
            "kcactors_handshake_refused", "Handshakes refused, by reason", ["reason"], registry=registry
        )
        self._webhooks = Counter(
            "kcactors_webhook", "Webhooks, by provider and answer", ["provider", "answer"], registry=registry
        )
        self._webhooks_spaced = Counter(
            "kcactors_webhook_spaced",
            "Answers that waited because their purchase was asked about too often",
            ["provider"],
            registry=registry,
        )
        self._views = Counter(
            "kcactors_view",
            "Views read, by kind and where they came from",
            ["view", "source"],
            registry=registry,
        )
        self._to_send = Histogram(
            "kcactors_commit_to_send_seconds",
            "From commit to the session's socket",
            buckets=SECONDS,
            registry=registry,
        )
        self._to_ack = Histogram(
            "kcactors_commit_to_ack_seconds", "From commit to the client's acknowledgement", buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._sessions = Gauge("kcactors_sessions", "Open sessions, by kind", ["kind"], registry=registry)
        self._webhooks_in_flight = Gauge(
            "kcactors_webhooks_in_flight", "Webhooks waiting for their commit", registry=registry
        )
        self._doorbell_up = Gauge("kcactors_doorbell_up", "1 when Redis rings are heard", registry=registry)

        # A labelled metric looks its child up under a lock each time; these answers are few and the requests many.
        self._webhook = cache(self._webhooks.labels)

    def watch(
        self,
        *,
        sessions: Callable[[], int],
        webhooks_in_flight: Callable[[], int],
        doorbell_up: Callable[[], bool],
    ) -> None:
        """Take gauges from their owner when they are scraped."""
        self._webhooks_in_flight.set_function(webhooks_in_flight)
        self._sessions.labels("websocket").set_function(sessions)
        self._doorbell_up.set_function(lambda: float(doorbell_up()))

    def heal(self, cause: str) -> None:
        self._heals.labels(cause).inc()

    def resumed(self, kind: str) -> None:
        self._resumes.labels(kind).inc()

    def reset(self, reason: str) -> None:
        self._resets.labels(reason).inc()

    def sent_late_by(self, seconds: float) -> None:
        self._to_send.observe(max(0.0, seconds))

    def acked_late_by(self, seconds: float) -> None:
        self._to_ack.observe(max(0.0, seconds))

    def closed(self, code: int, reason: str) -> None:
        """A session ended. Codes of the protocol itself (1000 to 1015) have no reason of ours."""
        self._closes.labels(str(code), reason).inc()

    def handshake_refused(self, reason: str) -> None:
        self._refusals.labels(reason).inc()

    def webhook(self, provider: str, answer: str) -> None:
        self._webhook(provider, answer).inc()

    def webhook_spaced(self, provider: str) -> None:
        self._webhooks_spaced.labels(provider).inc()

    def view(self, view: str, source: str) -> None:
        """``source`` is ``cache`` or ``database``."""
        self._views.labels(view, source).inc()

    def streams(self, change: int) -> None:
        """A server-sent stream or long poll began (1) or ended (-1)."""
        self._sessions.labels("stream").inc(change)
