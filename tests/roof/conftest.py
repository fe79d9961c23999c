"""The group of the roof's whole runs, and a node to run them against."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from kcactors.child import ChildNode
from kcactors.embedded.ports import candidates
from kcactors.readiness import wait_until_ready
from tests.support.kafka import PARTITIONS

JWT_SECRET = "roof-jwt-secret-of-32-characters-and-more"
WEBHOOK_SECRET = "roof-webhook-secret"


# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "whole: pushes payments through everything; seconds each (-m 'not whole')"
    )


@pytest.fixture
def node_settings(
    database_url, redis_url, kafka_bootstrap, kafka_api_version, payment_topic, business_topic, consumer_group
):
    """Settings of a node on the session's servers, with a database and topics of the test's own."""
    return {
        "KCACTORS_DATABASE_URL": database_url,
        "KCACTORS_REDIS_URL": redis_url,
        "KCACTORS_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "KCACTORS_KAFKA_API_VERSION": kafka_api_version,
        "KCACTORS_KAFKA_PAYMENT_TOPIC": payment_topic,
        "KCACTORS_KAFKA_BUSINESS_TOPIC": business_topic,
        "KCACTORS_KAFKA_GROUP_ID": consumer_group,
        "KCACTORS_JWT_SECRET": JWT_SECRET,
        "KCACTORS_WEBHOOK_SECRETS_KC": WEBHOOK_SECRET,
        "KCACTORS_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KCACTORS_KAFKA_PARTITIONS": str(PARTITIONS),
        "KCACTORS_GATEWAY_DRAIN_S": "0.2",
        # so that students are put away before a late duplicate comes
        "KCACTORS_STUDENT_IDLE_S": "0.5",
    }


@pytest.fixture
def node(node_settings, tmp_path) -> Iterator[ChildNode]:
    """A ready node as a process of its own."""
    child = ChildNode(next(candidates()), node_settings, log=tmp_path / "node.log")
    try:
        wait_until_ready([child], PARTITIONS)
        yield child
    finally:
        child.stop()
