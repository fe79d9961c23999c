"""A socket that did not become a connection is closed at once, and not when a collector comes by."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.net.inet import KafkaNetSocket

from actors.broker import Broker
from actors.connecting import DIRECT, DirectSocket
from kcactors.embedded.ports import LOOPBACK
from tests.support.waiting import wait_until


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Every socket that a client makes to connect."""
    sockets: list[socket.socket] = []
    make = KafkaNetSocket.socket

    def kept(self: KafkaNetSocket, *arguments: Any) -> socket.socket:
        sockets.append(make(self, *arguments))
        return sockets[-1]

    monkeypatch.setattr(KafkaNetSocket, "socket", kept)
    yield sockets
    for each in sockets:
        each.close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which every connection is refused."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield f"{LOOPBACK}:{bound.getsockname()[1]}"


def test_a_refused_connection_leaves_no_socket(made: list[socket.socket], nobody: str) -> None:
    config = Broker(bootstrap=nobody).client_config()
    assert config["proxy_url"] == DIRECT
    with pytest.raises(KafkaError):
        KafkaConsumer(**config, bootstrap_timeout_ms=300)
    assert made
    wait_until(lambda: all(each.fileno() == -1 for each in made), what="every socket that was made is closed")


def test_who_gives_up_while_it_connects_leaves_no_socket(made: list[socket.socket]) -> None:
    class Loop:
        def wait_write(self, *_: Any, **__: Any) -> Any:
            return Never()

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", listener.getsockname())
        listener.listen(1)
        connecting = DirectSocket(DIRECT).connect(Loop(), address)
        connecting.send(None)  # a socket that does not block is connecting still, on loopback too
        (sock,) = made
        assert sock.fileno() != -1
        connecting.close()
        assert sock.fileno() == -1
