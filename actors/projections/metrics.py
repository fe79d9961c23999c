"""What the projections count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ProjectionMetrics:
    """Records read and students brought forward, by projection."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "kcactors_projection_records",
            "Business events that a projection read",
            ("projection",),
            registry=registry,
        )

    def projected(self, projection: str, records: int) -> None:
        """One read came to so many records."""
        self._records.labels(projection).inc(records)
