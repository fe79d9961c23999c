import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from kcactors.embedded import DataDirInUse, EmbeddedPostgres, ServerFailed, postgres_install, throwaway_dir
from kcactors.embedded.orphan import end_orphan
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

OWNER = """
import sys, signal
from pathlib import Path
from kcactors.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def server():
    with throwaway_dir() as folder:
        server = EmbeddedPostgres(folder / "pg")
        yield server
        server.destroy()


def ask(server, statement):
    with psycopg.connect(server.url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def make_notes(server, count):
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (n int)")
        for n in range(count):
            connection.execute("INSERT INTO note VALUES (%s)", [n])


def test_keeps_data_url_and_port_across_a_stop(server):
    server.start()
    make_notes(server, 3)
    url = server.url
    server.stop()
    server.start()
    assert server.url == url
    assert ask(server, "SELECT count(*) FROM note") == [(3,)]


def test_a_second_object_on_the_folder_finds_the_same_data(server):
    server.start()
    make_notes(server, 3)
    server.stop()
    again = EmbeddedPostgres(server._dir)
    with again:
        assert ask(again, "SELECT count(*) FROM note") == [(3,)]


def test_committed_rows_survive_a_crash_of_the_server(server):
    server.start()
    make_notes(server, 100)
    server.kill()
    server.start()
    assert ask(server, "SELECT count(*) FROM note") == [(100,)]


def test_only_loopback_and_only_with_the_password(server):
    server.start()
    assert ask(server, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert ask(server, "SHOW fsync") == [("on",)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host="127.0.0.1", port=server.port, user="kcactors", password="guess", dbname="kcactors"
        )
    assert stat.S_IMODE((server._dir / "server.json").stat().st_mode) == 0o600


def test_two_living_owners_are_refused(server):
    server.start()
    with pytest.raises(DataDirInUse, match="in use"):
        EmbeddedPostgres(server._dir).start()
    assert ask(server, "SELECT 1") == [(1,)]


def test_start_and_stop_twice_are_harmless(server):
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert server.pid is None


def test_another_port_is_taken_when_the_last_one_is_in_use(server):
    server.start()
    port = server.port
    server.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        server.start()
        assert server.port != port
        assert ask(server, "SELECT 1") == [(1,)]


def test_files_of_the_log_are_laid_out_with_the_data_and_wait_to_be_used():
    with throwaway_dir() as folder:
        server = EmbeddedPostgres(folder / "pg", log_files=5)
        try:
            with server:
                current, *ahead = [
                    name for (name,) in ask(server, "SELECT name FROM pg_ls_waldir() ORDER BY 1")
                ]
                assert ask(server, "SELECT pg_walfile_name(pg_current_wal_lsn())") == [(current,)]
                assert len(ahead) >= 4
            with server:
                # a second start finds them
                assert ask(server, "SELECT count(*) FROM pg_ls_waldir()") == [(1 + len(ahead),)]
        finally:
            server.destroy()


def test_a_failing_server_shows_its_log():
    with throwaway_dir() as folder:
        broken = EmbeddedPostgres(folder / "pg", settings={"shared_buffers": "much"})
        with pytest.raises(ServerFailed, match="shared_buffers"):
            broken.start()
        assert broken.pid is None
        broken.destroy()


def owner_of(folder):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def gone(pid):
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are Linux")
def test_a_killed_owner_takes_the_server_along_and_the_data_stay(server):
    server.start()
    make_notes(server, 5)
    server.stop()
    owner, pid = owner_of(server._dir)
    with owner:
        assert not gone(pid)
        owner.kill()
    wait_until(lambda: gone(pid), what="the server shut down after its owner")
    server.start()
    assert ask(server, "SELECT count(*) FROM note") == [(5,)]


def test_a_server_without_owner_is_taken_over(server):
    server.start()
    make_notes(server, 5)
    orphan = server.pid
    # As if the owner had died where nobody tells the server: the lock is free and the server runs.
    server._lock.release()
    next_owner = EmbeddedPostgres(server._dir)
    with next_owner:
        assert next_owner.pid != orphan
        assert gone(orphan)
        assert ask(next_owner, "SELECT count(*) FROM note") == [(5,)]


def test_the_pid_file_of_a_dead_server_harms_no_stranger(tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (tmp_path / "postmaster.pid").write_text(f"{stranger.pid}\n")
        end_orphan(tmp_path)
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_root_below_a_private_folder_changes_no_permission(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "data" / "pg")
    with server:
        assert ask(server, "SELECT 1") == [(1,)]
        shelter = server.data
        assert not shelter.is_relative_to(tmp_path)
        assert shelter.stat().st_uid != 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    server.destroy()
    assert not shelter.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_programs_out_of_reach_are_copied(monkeypatch, server):
    monkeypatch.setattr(postgres_install, "can_reach", lambda account, path: False)
    server.start()
    assert "kcactors-postgres-programs" in Path(f"/proc/{server.pid}/exe").resolve().as_posix()
    assert ask(server, "SELECT 1") == [(1,)]
