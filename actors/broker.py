"""Where the Kafka brokers are and how to speak to them, said once for consumer, producer and topic admin."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.connecting import DIRECT


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a Kafka cluster.

    ``bootstrap`` is ``host:port``, several separated by commas. ``api_version`` is given only for brokers
    that cannot negotiate one (the embedded broker), for example ``"2.1"``.
    """

    bootstrap: str
    api_version: str | None = None
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None

    def __repr__(self) -> str:
        """Without the password."""
        return f"Broker({self.bootstrap!r}, api_version={self.api_version!r}, {self.security_protocol})"

    @property
    def version(self) -> tuple[int, ...] | None:
        """The fixed version as kafka-python takes it; ``None`` where it is negotiated."""
        return tuple(map(int, self.api_version.split("."))) if self.api_version else None

    def client_config(self) -> dict[str, Any]:
        """Keyword arguments that every client class of kafka-python accepts."""
        config: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
            # The library's 30 s would outlast most outages.
            "reconnect_backoff_max_ms": 2_000,
            "proxy_url": DIRECT,
        }
        if self.version is not None:
            config["api_version"] = self.version
        if self.sasl_mechanism is not None:
            config["sasl_mechanism"] = self.sasl_mechanism
            config["sasl_plain_username"] = self.sasl_username
            config["sasl_plain_password"] = self.sasl_password
        if self.ssl_cafile is not None:
            config["ssl_cafile"] = self.ssl_cafile
        return config

    def librdkafka_config(self) -> dict[str, Any]:
        """The same facts in librdkafka's words."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
        }
        if self.sasl_mechanism is not None:
            config["sasl.mechanisms"] = self.sasl_mechanism
            config["sasl.username"] = self.sasl_username
            config["sasl.password"] = self.sasl_password
        if self.ssl_cafile is not None:
            config["ssl.ca.location"] = self.ssl_cafile
        return config
