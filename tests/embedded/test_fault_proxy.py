import socket
import threading

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.waiting import wait_until


class Echo:
    """Answers every chunk with itself, and remembers it."""

    def __init__(self):
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            try:
                while data := connection.recv(1024):
                    self.heard += data
                    connection.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo.port) as proxy:
        yield proxy


def connected(proxy, timeout_s=2.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def ask(client, data):
    client.sendall(data)
    return client.recv(1024)


def test_forwards_and_passes_the_end_on(proxy):
    with connected(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024) == b""
    wait_until(lambda: proxy.open_connections == 0)
    assert proxy.accepted == 1


def test_stop_breaks_and_refuses_until_start_on_the_same_port(proxy):
    port = proxy.port
    with connected(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.stop()
        with pytest.raises(ConnectionResetError):
            client.recv(1024)
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.start()
    assert proxy.port == port
    with connected(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_stall_holds_everything_back_until_resume(proxy, echo):
    with connected(proxy, 0.2) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.stall()
        with pytest.raises(TimeoutError):
            ask(client, b"held")
        assert echo.heard == b"hello"
        proxy.resume()
        client.settimeout(2)
        assert client.recv(1024) == b"held"


def test_reset_breaks_what_is_open_and_lets_new_ones_in(proxy):
    with connected(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1024)
    with connected(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_lost_answers_leave_the_effect(proxy, echo):
    with connected(proxy, 0.2) as client:
        assert ask(client, b"hello") == b"hello"
        proxy.lose_answers()
        with pytest.raises(TimeoutError):
            ask(client, b"!")
        wait_until(lambda: echo.heard == b"hello!")
        proxy.resume()
        client.settimeout(2)
        assert ask(client, b"?") == b"?"


def test_a_url_of_another_server_is_refused(proxy):
    assert proxy.url(f"redis://127.0.0.1:{proxy._target[1]}/0") == f"redis://127.0.0.1:{proxy.port}/0"
    with pytest.raises(ValueError, match="does not lead to"):
        proxy.url("redis://127.0.0.1:1/0")
