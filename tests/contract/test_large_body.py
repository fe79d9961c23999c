"""A webhook over 1 MiB is answered with 413: before it is read whole, and so that the answer arrives."""

import http.client
import socket

import pytest

from tests.node.house import House

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
def test_a_sender_who_sends_all_before_looking_gets_the_refusal(house: House, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", house.node.port, timeout=30)
    try:
        connection.request("POST", "/api/v1/webhooks/kc", b" " * size, {"KC-Signature": "t=1,v1=00"})
        answer = connection.getresponse()
        assert answer.status == 413
        assert answer.headers["content-type"] == "application/problem+json"
    finally:
        connection.close()


def test_a_length_that_is_only_announced_is_refused_at_once(house: House) -> None:
    with socket.create_connection(("127.0.0.1", house.node.port), timeout=30) as peer:
        peer.sendall(b"POST /api/v1/webhooks/kc HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n")
        assert peer.recv(64).startswith(b"HTTP/1.1 413 ")
