"""TLS in front of a server that was built without it, as stunnel does: the wheels' Redis and PostgreSQL have none.

What speaks no TLS to it is refused. PostgreSQL's clients ask first whether they may (`SSLRequest`); that is answered.
"""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.support.certificates import Certificates

_HOST = "127.0.0.1"
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class TlsFront:
    """Listens on a port of its own and forwards to the server's.

    Args:
        port: of the server.
        postgres: answer PostgreSQL's request for TLS before the handshake.
    """

    def __init__(self, port: int, certificates: Certificates, *, postgres: bool = False) -> None:
        self._target = (_HOST, port)
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.server)
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="tls-front", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="tls-front", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(30.0)
            if self._postgres:
                if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                    return
                client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(self._target, timeout=30.0) as server,
            ):
                back = threading.Thread(target=_pump, args=(server, inside), name="tls-front", daemon=True)
                back.start()
                _pump(inside, server)
                back.join(30.0)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
