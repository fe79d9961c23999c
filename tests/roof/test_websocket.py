"""The load test's WebSocket connection, against the library's own server."""

import asyncio

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from kcactors.load.websocket import Connection

PROTOCOL = "kc.v1"


def talk(handler, converse, **options):
    """Has ``converse(url)`` talk to a server that handles each connection so."""

    async def run():
        async with serve(handler, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)], **options) as server:
            port = server.sockets[0].getsockname()[1]
            return await converse(f"ws://127.0.0.1:{port}/ws")

    return asyncio.run(run())


async def opened(url, take=lambda _connection, _text: None):
    return await Connection.open(url, [PROTOCOL], take, 5.0)


@pytest.mark.parametrize("size", [1, 125, 126, 70_000])
def test_texts_come_in_order_and_whole(size):
    async def echo(socket):
        async for text in socket:
            await socket.send(text)

    async def converse(url):
        heard, all_came = [], asyncio.Event()

        def take(_connection, text):
            heard.append(text)
            if len(heard) == 3:
                all_came.set()

        connection = await opened(url, take)
        for letter in (b"a", b"b", b"c"):
            connection.send(letter * size)
        async with asyncio.timeout(5):
            await all_came.wait()
        connection.close()
        return heard

    assert talk(echo, converse) == [letter * size for letter in (b"a", b"b", b"c")]


def test_a_text_in_several_frames_is_one():
    async def in_parts(socket):
        await socket.send(["one ", "whole ", "text"])
        await socket.send("another")
        await socket.wait_closed()

    async def converse(url):
        heard, all_came = [], asyncio.Event()

        def take(_connection, text):
            heard.append(text)
            if text == b"another":
                all_came.set()

        connection = await opened(url, take)
        async with asyncio.timeout(5):
            await all_came.wait()
        connection.close()
        return heard

    assert talk(in_parts, converse) == [b"one whole text", b"another"]


def test_who_leaves_says_so():
    codes = []

    async def listen(socket):
        await socket.wait_closed()
        codes.append(socket.close_code)

    async def converse(url):
        connection = await opened(url)
        connection.close()
        async with asyncio.timeout(5):
            await connection.ended
        connection.send(b"too late")

    talk(listen, converse)
    assert codes == [1001]


def test_a_server_that_ends_the_session_is_noticed():
    async def leave(socket):
        await socket.close(4000)

    async def converse(url):
        connection = await opened(url)
        async with asyncio.timeout(5):
            await connection.ended
        return True

    assert talk(leave, converse)


def test_a_refusal_says_what_the_server_answered():
    async def refuse(connection, _request):
        return connection.respond(401, "who are you?")

    async def converse(url):
        with pytest.raises(InvalidStatus) as refused:
            await opened(url)
        return refused.value.response.status_code

    assert talk(lambda _socket: None, converse, process_request=refuse) == 401


def test_nobody_there_is_an_error_of_the_system():
    async def converse(url):
        with pytest.raises(OSError, match="Connect"):
            await opened("ws://127.0.0.1:1/ws")
        return True

    assert talk(lambda _socket: None, converse)
