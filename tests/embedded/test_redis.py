import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kcactors.embedded import EmbeddedRedis, ServerFailed, ServerMissing
from kcactors.embedded import redis as embedded_redis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.redis

OWNER = """
import signal
from kcactors.embedded import EmbeddedRedis
server = EmbeddedRedis()
server.start()
print(server.port, flush=True)
signal.pause()
"""


def test_keeps_its_port_and_forgets_its_data():
    with EmbeddedRedis() as server:
        port = server.port
        assert embedded_redis.answers(port)
        server.stop()
        assert not embedded_redis.answers(port)
        server.start()
        assert server.port == port
        assert embedded_redis.answers(port)


def test_another_port_is_taken_when_the_wanted_one_is_in_use(redis_server):
    with EmbeddedRedis(port=redis_server.port) as other:
        assert other.port != redis_server.port


def test_start_and_stop_twice_are_harmless():
    server = EmbeddedRedis()
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_server_started_by_a_thread_outlives_the_thread(own_redis):
    own_redis.stop()
    starter = threading.Thread(target=own_redis.start)
    starter.start()
    starter.join()
    with pytest.raises(AssertionError):
        wait_until(lambda: own_redis.pid is None, timeout_s=0.3)
    assert embedded_redis.answers(own_redis.port)


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux")
def test_dies_with_a_killed_owner():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        assert embedded_redis.answers(port)
        owner.kill()
    wait_until(lambda: not embedded_redis.answers(port), what="Redis died with its owner")


def test_its_absence_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerMissing, match=r"redis-server .* on PATH.*3\.11 or 3\.12"):
        EmbeddedRedis().start()


def test_its_url_before_the_start_is_an_error():
    with pytest.raises(ServerFailed, match="was not started"):
        _ = EmbeddedRedis().url
