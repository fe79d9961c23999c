"""The settings of a process: one frozen structure, from one explicit mapping.

Only this module reads the environment, and there is no other place for a setting (twelve-factor). Every limit
is one, with its unit in its name. What a variable means stands beside it here; ``docs/settings.md`` is
written from these structures.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from actors.audit.checks import AuditLimits
from actors.broker import Broker
from actors.reconciler.retention import RetentionLimits
from actors.store.connection import ConnectionLimits
from gateway.limits import GatewayLimits
from kcactors.environment import PREFIX, Group, Problem, Reader, Variable, WrongSettings, variables

Count: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 30)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=604_800)]


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


class Auth(Group, frozen=True, kw_only=True):
    """Who may read what: JSON Web Tokens, made by the platform or by ``kcactors token``."""

    jwt_secret: Annotated[
        str | None,
        Meta(
            description="for HS256",
            extra={"secret": True, "expected": "a secret text, 32 characters or more"},
        ),
    ] = None
    jwks_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://.+")] | None,
        Meta(
            description="keys for RS256, ES256 and EdDSA",
            extra={"expected": "an http(s) address"},
        ),
    ] = None
    jwt_audience: Annotated[str | None, Meta(description="checked when set")] = None

    def clashes(self) -> Iterator[Problem]:
        """One of the two ways to check a token must be there."""
        if not self.jwt_secret and not self.jwks_url:
            yield Problem(
                f"{PREFIX}JWT_SECRET", f"is not set, expected a secret text, or {PREFIX}JWKS_URL instead"
            )


Secrets: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(
        description="several valid at once; without any, the provider is unknown here (404)",
        extra={"secret": True, "expected": "secrets separated by commas"},
    ),
]


class Webhook(Group, frozen=True, kw_only=True):
    """Payment providers that call us."""

    secrets_razorpay: Secrets = ()
    secrets_stripe: Secrets = ()
    secrets_kc: Secrets = ()

    def by_provider(self) -> dict[str, tuple[str, ...]]:
        """The secrets of each provider that has any."""
        named = {"razorpay": self.secrets_razorpay, "stripe": self.secrets_stripe, "kc": self.secrets_kc}
        return {provider: secrets for provider, secrets in named.items() if secrets}


class Student(Group, frozen=True, kw_only=True):
    """The actors that give payments their order."""

    idle_s: Annotated[Seconds, Meta(description="silence after which a student's actor is passivated")] = 60.0
    active_max: Annotated[
        Count, Meta(description="actors held at once; beyond it the longest idle one goes")
    ] = 100_000
    mailbox_max: Annotated[
        Count, Meta(description="messages waiting for one student; beyond it the source waits")
    ] = 1_000
    remembered_max: Annotated[Count, Meta(description="whole effects that one actor remembers")] = 256
    attempts_max: Annotated[Count, Meta(description="tries of one failing message before it is parked")] = 5


class Ledger(Group, frozen=True, kw_only=True):
    """The writers: group commit, one connection and thread each."""

    count: Annotated[
        int, Meta(ge=1, le=64, description="ledgers of one node; a student always goes to the same one")
    ] = 2
    batch_max: Annotated[int, Meta(ge=1, le=4_096, description="payments in one transaction")] = 256
    mailbox_max: Annotated[
        Count, Meta(description="payments waiting for one ledger; beyond it the source waits")
    ] = 10_000


class Ingest(Group, frozen=True, kw_only=True):
    """The consumer of payment events; per partition it stops at either bound and goes on at half of it."""

    in_flight_max: Annotated[Count, Meta(description="records of a partition without an answer")] = 1_000
    span_max: Annotated[
        Count, Meta(description="offsets from the lowest unanswered to the newest record")
    ] = 10_000
    poll_max_records: Annotated[Count, Meta(description="records of one poll")] = 1_000
    commit_interval_s: Annotated[Seconds, Meta(description="between offset commits")] = 1.0
    drain_s: Annotated[
        Seconds, Meta(description="for what is in flight when a partition moves or the node stops")
    ] = 5.0
    stuck_s: Annotated[
        Seconds, Meta(description="a call into the Kafka client that lasts longer is broken off")
    ] = 20.0
    parked_in_a_row_max: Annotated[
        Count, Meta(description="parked records in a row after which a partition waits")
    ] = 500
    parked_ratio_max: Annotated[
        float,
        Meta(gt=0, le=1, description="share of parked records among the last 1,000 after which it waits"),
    ] = 0.5
    parked_pause_s: Annotated[
        Seconds, Meta(description="how long it waits the first time; then twice as long each time")
    ] = 10.0


class Publisher(Group, frozen=True, kw_only=True):
    """The relay from the outbox to Redis and Kafka."""

    round_max: Annotated[Count, Meta(description="events of one round")] = 1_000
    poll_s: Annotated[Seconds, Meta(description="between looks at the outbox when nobody nudges")] = 0.5
    ack_timeout_s: Annotated[Seconds, Meta(description="for Kafka's reports of one round")] = 10.0


class Reconciler(Group, frozen=True, kw_only=True):
    """The audit that heals what was marked and never done."""

    interval_s: Annotated[Seconds, Meta(description="between two looks")] = 5.0
    payment_age_s: Annotated[
        Seconds, Meta(description="a captured payment without purchase older than this")
    ] = 5.0
    allocation_age_s: Annotated[Seconds, Meta(description="a requested allocation older than this")] = 5.0
    batch_max: Annotated[Count, Meta(description="cases of one kind healed in one audit")] = 500


class Projections(Group, frozen=True, kw_only=True):
    """Our own readers of the business events, each a consumer group; the echo that proves publication is always one.

    They run on nodes with the role `projections`.
    """

    sessions: Annotated[bool, Meta(description="plan the sessions of allocated purchases")] = True
    cache: Annotated[
        bool,
        Meta(
            description="take views that are out of date down at once; without it they expire, unread, "
            "after KCACTORS_GATEWAY_VIEW_CACHE_S"
        ),
    ] = False
    poll_s: Annotated[Seconds, Meta(description="between two reads, so that many events go together")] = 0.25
    batch_max: Annotated[Count, Meta(description="events of one read")] = 5_000


class Http(Group, frozen=True, kw_only=True):
    """Where the door is and whose pages may use it; its limits are `gateway.limits.GatewayLimits`."""

    port: Annotated[
        int, Meta(ge=0, le=65_535, description="of HTTP and WebSocket", extra={"env": "PORT"})
    ] = 8000
    allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+$")], ...],
        Meta(
            description="browsers' origins that may open a WebSocket; none: only its own host",
            extra={
                "env": f"{PREFIX}ALLOWED_ORIGINS",
                "expected": "origins such as https://app.example.org, separated by commas",
            },
        ),
    ] = ()

    dev_checkout: Annotated[
        bool, Meta(description="a checkout button on the learning page, for development only")
    ] = False


class Node(Group, frozen=True, kw_only=True):
    """This process."""

    id: Annotated[str, Meta(description="its name in the cluster; default host:pid")] = ""
    stop_timeout_s: Annotated[Seconds, Meta(description="for an orderly stop after SIGTERM")] = 25.0


class Log(Group, frozen=True, kw_only=True):
    """What goes to standard error."""

    format: Annotated[Literal["console", "json"], Meta(description="for people or for machines")] = "console"
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="the least that is said")
    ] = "INFO"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process is told from outside; a group that was not asked for holds its defaults.

    Where a lower room has a structure for its limits, that structure is the group: its fields, its units and its
    defaults are the settings, and none can be forgotten here.
    """

    database: Database
    connection: ConnectionLimits
    redis: Redis
    kafka: Kafka
    auth: Auth
    webhook: Webhook
    student: Student
    ledger: Ledger
    ingest: Ingest
    publisher: Publisher
    reconciler: Reconciler
    audit: AuditLimits
    retention: RetentionLimits
    projections: Projections
    http: Http
    gateway: GatewayLimits
    node: Node
    log: Log


GROUPS: Final[dict[str, type[msgspec.Struct]]] = {
    field.name: field.type for field in msgspec.structs.fields(Settings)
}
SECTIONS: Final = {name: name.upper() for name in GROUPS} | {"auth": "", "connection": "DATABASE"}
"""Group to the word that its variables have after ``KCACTORS_``."""

EVERYTHING: Final = frozenset(GROUPS)


def load(environ: Mapping[str, str] | None = None, needs: frozenset[str] = EVERYTHING) -> Settings:
    """Reads the settings.

    Args:
        environ: names to texts; the process's environment when left out.
        needs: the groups that the caller uses. Others are not looked at, and hold their defaults.

    Raises:
        WrongSettings: naming everything that is missing or wrong in those groups.
    """
    reader = Reader(os.environ if environ is None else environ)
    groups: dict[str, msgspec.Struct | None] = {}
    for name, kind in GROUPS.items():
        groups[name] = reader.read(kind, SECTIONS[name]) if name in needs else _defaults(kind)
    reader.finish()
    settings = msgspec.convert(groups, Settings, from_attributes=True)
    if settings.node.id:
        return settings
    return msgspec.structs.replace(settings, node=msgspec.structs.replace(settings.node, id=_own_name()))


def every_variable() -> list[Variable]:
    """All variables, group by group, for the documentation and for `unknown`."""
    return [variable for name, kind in GROUPS.items() for variable in variables(kind, SECTIONS[name])]


def secrets(settings: Settings) -> list[str]:
    """Every secret text in the settings, for the mask over the log."""
    found: list[str] = []
    for name, kind in GROUPS.items():
        for variable in variables(kind, ""):
            value = getattr(getattr(settings, name), variable.field) if variable.secret else None
            found.extend(value if isinstance(value, tuple) else [value] if value else [])
    return found


def unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names that begin like ours and mean nothing: most often a misspelt limit."""
    known = {variable.name for variable in every_variable()}
    given = os.environ if environ is None else environ
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)


def _defaults(kind: type[msgspec.Struct]) -> msgspec.Struct:
    return kind(**{variable.field: "" for variable in variables(kind, "") if variable.required})


def _own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


__all__ = ["EVERYTHING", "Settings", "WrongSettings", "every_variable", "load", "secrets", "unknown"]
