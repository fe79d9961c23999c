"""Real servers for a developer's machine: PostgreSQL, Redis and a Kafka broker, on loopback, without Docker or root.

They come as wheels (the ``embedded`` extra) and are started and stopped by the process that wants them:

* `EmbeddedPostgres` keeps its data in a folder and survives a kill of its owner;
* `EmbeddedRedis` keeps nothing and dies with its owner;
* `EmbeddedKafka` is an in-memory broker that lives inside its owner;
* `Services` starts the three in one order and stops them in the reverse one.

For development, the demo and the tests. A production node knows nothing of this package.
"""

from kcactors.embedded.errors import DataDirInUse, ServerFailed, ServerMissing, ServiceTrouble
from kcactors.embedded.kafka import EmbeddedKafka
from kcactors.embedded.postgres import EmbeddedPostgres
from kcactors.embedded.redis import EmbeddedRedis
from kcactors.embedded.services import Services, throwaway_dir, throwaway_services

__all__ = [
    "DataDirInUse",
    "EmbeddedKafka",
    "EmbeddedPostgres",
    "EmbeddedRedis",
    "ServerFailed",
    "ServerMissing",
    "ServiceTrouble",
    "Services",
    "throwaway_dir",
    "throwaway_services",
]
