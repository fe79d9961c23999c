import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from kcactors.dev import run_dev
from kcactors.embedded import redis as embedded_redis
from kcactors.embedded import throwaway_dir
from kcactors.embedded.ports import candidates
from kcactors.exits import WrongUse
from kcactors.settings import load
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.kafka]

ROOT = Path(__file__).parents[2]
KEYS = {
    "http",
    "database_url",
    "redis_url",
    "kafka_bootstrap",
    "kafka_api_version",
    "operator_token",
    "jwt_secret",
    "webhook_secret",
    "catalog",
    "learning_page",
    "supervision_page",
    "pids",
}


class Dev:
    """One ``kcactors dev`` as a process, on a folder of the test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kcactors", "dev", "--data-dir", str(self.folder), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"ready {self.folder / 'dev.json'}\n"
        return json.loads((self.folder / "dev.json").read_text())

    def stop(self, number=signal.SIGTERM):
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        with self.process:
            code = self.process.wait(30)
        return code, time.monotonic() - began


@pytest.fixture
def dev():
    with throwaway_dir() as folder:
        dev = Dev(folder / "dev")
        yield dev
        if dev.process is not None:
            dev.stop(signal.SIGKILL)
        data = dev.folder / "postgres" / "data" / "postmaster.pid"
        wait_until(lambda: not data.exists(), what="PostgreSQL shut down")


def ask(document, statement):
    with psycopg.connect(document["database_url"], autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def listens(address):
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def test_services_only_are_ready_complete_and_gone_after_sigterm(dev):
    document = dev.start("--nodes", "0")
    assert set(document) == KEYS
    assert document["http"] == []
    assert document["pids"] == {"nodes": []}
    assert document["learning_page"] is None
    assert len(document["catalog"]["courses"]) >= 8
    free = ask(
        document,
        "SELECT c.course_id::text FROM course c JOIN trainer_course USING (course_id) JOIN trainer t USING (trainer_id)"
        " WHERE t.load < t.capacity GROUP BY 1",
    )
    assert {course for (course,) in free} == set(document["catalog"]["courses"])
    assert ask(document, "SELECT count(*) FROM purchase") == [(0,)]
    assert ask(document, "SELECT count(*) FROM trainer") == [(document["catalog"]["trainers"],)]
    assert embedded_redis.answers(int(document["redis_url"].split(":")[2].partition("/")[0]))
    assert listens(document["kafka_bootstrap"])

    code, took_s = dev.stop()
    assert code == 0
    assert took_s < 15
    assert not (dev.folder / "dev.json").exists()
    assert not listens(document["kafka_bootstrap"])
    assert not listens(document["redis_url"].removeprefix("redis://").removesuffix("/0"))


def test_dev_env_holds_the_settings_of_dev_json(dev):
    document = dev.start("--nodes", "0")
    lines = (dev.folder / "dev.env").read_text().splitlines()
    settings = load(dict(line.split("=", 1) for line in lines))
    assert settings.database.url == document["database_url"]
    assert settings.redis.url == document["redis_url"]
    assert settings.kafka.bootstrap == document["kafka_bootstrap"]
    assert settings.kafka.api_version == document["kafka_api_version"]
    assert settings.auth.jwt_secret == document["jwt_secret"]
    assert settings.webhook.secrets_kc == (document["webhook_secret"],)
    assert oct((dev.folder / "dev.json").stat().st_mode & 0o777) == oct(0o600)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_data_and_secrets_outlive_an_end_of_any_kind(dev, number):
    first = dev.start("--nodes", "0")
    ask(first, "UPDATE course SET title = 'Kept' RETURNING title")
    dev.stop(number)
    if number == signal.SIGKILL:
        wait_until(lambda: not listens(first["kafka_bootstrap"]), what="the broker died with its owner")
    again = dev.start("--nodes", "0")
    assert ask(again, "SELECT DISTINCT title FROM course") == [("Kept",)]
    assert set(again["catalog"]["courses"]) == set(first["catalog"]["courses"])
    assert again["catalog"]["trainers"] == first["catalog"]["trainers"]
    assert again["jwt_secret"] == first["jwt_secret"]
    assert again["webhook_secret"] == first["webhook_secret"]
    assert again["database_url"] == first["database_url"]


def test_a_second_dev_on_the_folder_is_wrong_use(dev):
    dev.start("--nodes", "0")
    second = subprocess.run(
        [sys.executable, "-m", "kcactors", "dev", "--nodes", "0", "--data-dir", str(dev.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 2
    assert "in use by another process" in second.stderr
    assert (dev.folder / "dev.json").exists()


def test_a_taken_port_is_wrong_use(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(WrongUse, match=f"port {port} is in use"):
            run_dev(port=port, nodes=1, data_dir=tmp_path / "dev")


def get(url, path):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_nodes_are_ready_in_its_group_and_a_dead_one_stays_dead(dev):
    port = next(candidates())
    document = dev.start("--nodes", "2", "--port", str(port))
    assert document["http"] == [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]
    for url in document["http"]:
        status, body = get(url, "/readyz")
        assert status == 200
        assert json.loads(body)["degraded"] == []
    first, second = document["pids"]["nodes"]
    assert {os.getpgid(first), os.getpgid(second)} == {dev.process.pid}
    assert get(document["http"][0], f"/students/{first:032x}")[0] == (
        200 if document["learning_page"] else 404
    )

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not listens(f"127.0.0.1:{port}"))
    assert get(document["http"][1], "/healthz")[0] == 200
    assert dev.process.poll() is None

    code, took_s = dev.stop()
    assert code == 0
    assert took_s < 15
    assert not listens(f"127.0.0.1:{port + 1}")


def test_nodes_die_with_a_killed_dev(dev):
    port = next(candidates())
    document = dev.start("--port", str(port))
    (pid,) = document["pids"]["nodes"]
    dev.stop(signal.SIGKILL)
    wait_until(lambda: not listens(f"127.0.0.1:{port}"), what=f"node {pid} died with its owner")
