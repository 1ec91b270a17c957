"""A network line between a client and the endpoint that a test can hold up or cut: TCP, byte for byte."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Line:
    """Relays connections to `target` on 127.0.0.1. With `allowed`, the first that sent so many bytes is held, until it is cut.

    Held means: the connection stands, nothing more gets through from the client; answers do. A new connection is refused from then on,
    so that a client which tries again by itself finds nothing.
    """

    def __init__(self, target: int, allowed: int | None = None) -> None:
        self._target, self._allowed = target, allowed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed: list[int] = []  # of each connection, from the client [bytes]
        self.held = threading.Event()  # a connection sent all that it may
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection ends, on both sides, in the middle of whatever it said."""
        for side in self._sockets:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._refuse()

    def _refuse(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _peer = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self.passed.append(0)
                threading.Thread(target=self._send, args=(client, server, len(self.passed) - 1), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket, which: int) -> None:
        with suppress(OSError):
            while self._allowed is None or self.passed[which] < self._allowed:
                left = 65_536 if self._allowed is None else min(65_536, self._allowed - self.passed[which])
                if not (data := client.recv(left)):
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)
                self.passed[which] += len(data)
            self._refuse()
            self.held.set()

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)
        for side in (client, server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
