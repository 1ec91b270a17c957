"""Where Prometheus finds the endpoint's figures: http://127.0.0.1:<metrics_port>/metrics, on this machine only."""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

#: how long a request may take to arrive [s], and how large it may be [bytes]
PATIENCE, LONGEST = 5.0, 8192

_PLAIN = "text/plain; charset=utf-8"


class Status:
    """A server that knows two addresses: /metrics, and /healthz, which says whether every process answers."""

    def __init__(self, figures: Callable[[], Awaitable[bytes]], healthy: Callable[[], Awaitable[bool]]) -> None:
        self._figures = figures
        self._healthy = healthy
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on the loopback address. OSError when the port is in use."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
            writer.write(await self._answer(request.split(b"\r\n", 1)[0].decode("latin-1")))
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks so gets no answer
        finally:
            writer.close()

    async def _answer(self, request: str) -> bytes:
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", _PLAIN, b"only GET\n")
        if path == "/metrics":
            return _response("200 OK", CONTENT_TYPE_PLAIN_0_0_4, await self._figures(), method == "HEAD")
        if path == "/healthz":
            well = await self._healthy()
            return _response("200 OK" if well else "503 Service Unavailable", _PLAIN, b"ok\n" if well else b"a process does not answer\n")
        return _response("404 Not Found", _PLAIN, b"/metrics or /healthz\n")


def _response(status: str, kind: str, body: bytes, head_only: bool = False) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if head_only else body)
