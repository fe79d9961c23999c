"""A TCP proxy between a client and a real server, with the faults that networks and servers have."""

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_CHUNK = 65_536
_HOST = "127.0.0.1"


class FaultProxy:
    """Forwards bytes between its own port and a server's, until told to misbehave.

    * ``stop()``: as if the server had gone: the port refuses, open connections break. ``start()`` brings it back, on
      the same port.
    * ``stall()``: as if the network had gone: connections stay open and new ones are taken, and not a byte moves.
      ``resume()`` lets everything held back flow.
    * ``reset()``: every open connection breaks with a TCP reset; new ones work.
    * ``lose_answers()``: what the client sends still arrives, no answer comes back ("COMMIT sent, answer lost").
      ``resume()`` ends it; what was lost stays lost.
    """

    def __init__(self, port: int) -> None:
        self._target = (_HOST, port)
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._port = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._answering = True
        self.accepted = 0
        """Connections taken since the first start."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._port

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._pairs)

    def url(self, original: str) -> str:
        """The same url, through this proxy."""
        server = f"{_HOST}:{self._target[1]}"
        if server not in original:
            raise ValueError(f"{original} does not lead to {server}")
        return original.replace(server, f"{_HOST}:{self._port}")

    def start(self) -> None:
        self.resume()
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, self._port))
        listener.listen(128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="fault-proxy", daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone would leave the accepting thread asleep, and the port taken, until the next client.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()
        self._flowing.set()

    def stall(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._answering = True
        self._flowing.set()

    def lose_answers(self) -> None:
        self._answering = False

    def reset(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _break(pair)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.accepted += 1
                threading.Thread(
                    target=self._connect, args=(client,), name="fault-proxy", daemon=True
                ).start()

    def _connect(self, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        pair = (client, server)
        with self._lock:
            stopped = self._listener is None
            if not stopped:
                self._pairs.add(pair)
        if stopped:
            _break(pair)
            return
        back = threading.Thread(
            target=self._pump, args=(server, client, pair), name="fault-proxy", daemon=True
        )
        back.start()
        self._pump(client, server, pair)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()

    def _pump(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        """One direction, until it ends; the end is passed on as a half close."""
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                if source is pair[0] or self._answering:
                    sink.sendall(data)
        with self._lock:
            orderly = pair in self._pairs
        # Not after a reset: the far end would see an orderly goodbye instead.
        if orderly:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


def _break(pair: tuple[socket.socket, socket.socket]) -> None:
    """End both sides with a reset: what is on its way is lost, as with a crash."""
    for end in pair:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RD)
        end.close()
