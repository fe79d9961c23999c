"""Settings of the services that a node needs: where they are, and how to speak to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from actors.broker import Broker
from kcactors.environment import PREFIX, Group, Problem
from kcactors.sections.units import Count, Seconds


class Database(Group, frozen=True, kw_only=True):
    """PostgreSQL, where everything that is promised stands."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^postgres(ql)?://.+",
            description="PostgreSQL; `sslmode` and the like go into its query",
            extra={"secret": True, "expected": "postgresql://user:password@host:port/database"},
        ),
    ]
    pool_max: Annotated[
        Count, Meta(description="connections for reads and audit, beside one per ledger and relay")
    ] = 8
    connect_wait_s: Annotated[Seconds, Meta(description="how long a starting node waits for it")] = 30.0


class Redis(Group, frozen=True, kw_only=True):
    """Redis, the doorbell: it makes screens quick and holds nothing that is promised."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(rediss?|unix)://.+",
            description="Redis or Valkey",
            extra={"secret": True, "expected": "redis://host:port/0, rediss:// for TLS, or unix://path"},
        ),
    ]
    timeout_s: Annotated[Seconds, Meta(description="for one connect or one round of publishing")] = 2.0


class Kafka(Group, frozen=True, kw_only=True):
    """The broker, and the two topics."""

    bootstrap: Annotated[
        str,
        Meta(
            pattern=r"^[^\s,:/]+:\d{1,5}(,[^\s,:/]+:\d{1,5})*$",
            description="brokers to ask first",
            extra={"expected": "host:port, several separated by commas"},
        ),
    ]
    api_version: Annotated[
        Annotated[str, Meta(pattern=r"^\d+(\.\d+){1,2}$")] | None,
        Meta(
            description="only for brokers that cannot negotiate versions",
            extra={"expected": "a Kafka version such as 2.1"},
        ),
    ] = None
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="how to speak to the brokers"),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None, Meta(description="with a SASL_ protocol")
    ] = None
    sasl_username: Annotated[str | None, Meta(description="with a SASL_ protocol")] = None
    sasl_password: Annotated[
        str | None, Meta(description="with a SASL_ protocol", extra={"secret": True})
    ] = None
    ssl_cafile: Annotated[str | None, Meta(description="PEM file of the authorities to trust")] = None
    group_id: Annotated[str, Meta(description="consumer group of the payment events")] = "kcactors"
    payment_topic: Annotated[str, Meta(description="payment events in")] = "payment-events"
    business_topic: Annotated[str, Meta(description="business events out")] = "business-events"
    partitions: Annotated[Count, Meta(description="of a topic that `kcactors migrate` creates")] = 12
    replication: Annotated[
        int,
        Meta(
            ge=-1, le=100, description="of a topic that `kcactors migrate` creates; -1: the broker's default"
        ),
    ] = -1
    fetch_wait_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="how long the broker may hold back an empty fetch")
    ] = 250
    producer: Annotated[
        Literal["librdkafka", "kafka-python"],
        Meta(description="client that brings events to Kafka; both keep the same promise"),
    ] = "librdkafka"
    session_timeout_ms: Annotated[
        int,
        Meta(
            ge=1_000, le=1_800_000, description="silence after which the group gives a node's partitions away"
        ),
    ] = 45_000

    def broker(self) -> Broker:
        """The way to the cluster, as the clients below take it."""
        return Broker(
            bootstrap=self.bootstrap,
            api_version=self.api_version,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.sasl_username,
            sasl_password=self.sasl_password,
            ssl_cafile=self.ssl_cafile,
        )

    def topics(self) -> dict[str, int]:
        """The topics that must exist, with the partitions of a new one."""
        return {self.payment_topic: self.partitions, self.business_topic: self.partitions}

    def clashes(self) -> Iterator[Problem]:
        """SASL needs its three settings together."""
        if not self.security_protocol.startswith("SASL_"):
            return
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if not getattr(self, name):
                text = f"is not set, expected with KCACTORS_KAFKA_SECURITY_PROTOCOL={self.security_protocol}"
                yield Problem(f"{PREFIX}KAFKA_{name.upper()}", text)
