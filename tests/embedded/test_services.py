import psycopg
import pytest

from kcactors.embedded import ServerMissing, Services, throwaway_services
from kcactors.embedded import redis as embedded_redis

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.kafka]


def test_all_three_come_up_and_nothing_stays():
    with throwaway_services(topics={"payment-events": 12}) as services:
        with psycopg.connect(services.database_url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("kcactors",)
        assert embedded_redis.answers(services.redis.port)
        assert services.kafka_bootstrap.startswith("127.0.0.1:")
        assert services.kafka_api_version == "2.1"
        data = services.postgres.data
    assert not data.exists()
    assert services.postgres.pid is None
    assert services.redis.pid is None


def test_a_missing_one_leaves_none_running(tmp_path, monkeypatch):
    def no_redis():
        raise ServerMissing("Redis is not here")

    monkeypatch.setattr(embedded_redis, "program", no_redis)
    services = Services(tmp_path / "dev")
    with pytest.raises(ServerMissing, match="Redis"):
        services.start()
    assert services.postgres.pid is None
    services.postgres.destroy()
