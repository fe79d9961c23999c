"""What a socket holds is taken in few reads: each gives the interpreter away."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError

from actors.ingest.reading import AT_ONCE, receive
from kcactors.embedded import EmbeddedKafka
from tests.kafka.test_trips import member_of
from tests.support.waiting import wait_until


class Counting:
    """A socket whose reads are counted; each brings at most so many bytes, as one of TLS does."""

    def __init__(self, inner: socket.socket, most: int = AT_ONCE) -> None:
        self._inner, self._most, self.reads, self.largest = inner, most, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def recv(self, size: int) -> bytes:
        self.reads += 1
        came = self._inner.recv(min(size, self._most))
        self.largest = max(self.largest, len(came))
        return came


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        yield here, there


def test_a_short_read_is_the_last_one(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.sendall(b"x" * 50_000)
    counting = Counting(here)
    assert receive(counting, short_is_all=True) == (b"x" * 50_000, None)
    assert counting.reads == 1


def test_more_than_one_read_holds_is_taken_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    sent = b"a" * AT_ONCE + b"b"
    there.sendall(sent)
    assert receive(here, short_is_all=True) == (sent, None)


def test_where_a_short_read_says_nothing_it_reads_until_there_is_nothing(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    here, there = ends
    there.sendall(b"0123456789")
    counting = Counting(here, most=4)
    assert receive(counting, short_is_all=False) == (b"0123456789", None)
    assert counting.reads == 4


def test_nothing_is_no_error(ends: tuple[socket.socket, socket.socket]) -> None:
    here, _ = ends
    assert receive(here, short_is_all=True) == (b"", None)


def test_tls_that_waits_for_the_rest_of_a_record_is_no_error() -> None:
    class HalfARecord:
        def recv(self, size: int) -> bytes:
            raise ssl.SSLWantReadError

    assert receive(HalfARecord(), short_is_all=False) == (b"", None)


def test_an_end_and_a_failure_are_told_with_what_came_before(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    here, there = ends
    there.sendall(b"last words")
    there.close()
    came, why = receive(here, short_is_all=False)
    assert came == b"last words"
    assert isinstance(why, KafkaConnectionError)
    here.close()
    for gone in (here, None):
        came, why = receive(gone, short_is_all=True)
        assert came == b""
        assert isinstance(why, KafkaConnectionError)


def test_the_consumer_takes_a_large_fetch_in_large_reads(kafka_broker: EmbeddedKafka) -> None:
    with member_of(kafka_broker) as (consumer, read, broker, topic):
        manager: Any = consumer._client._manager
        read()
        transports = [one.transport for one in manager._conns.values() if one.transport is not None]
        sockets = []
        for transport in transports:
            transport._sock = Counting(transport._sock)
            sockets.append(transport._sock)
        value = b"v" * 40_000
        with contextlib.closing(KafkaProducer(**broker.client_config())) as producer:
            producer.send(topic, key=b"k", value=value)
            producer.flush(timeout=20)
        wait_until(lambda: read() == [value], 10, what="the record")
        assert max(counting.largest for counting in sockets) > 10_000
