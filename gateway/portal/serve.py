"""The portal on the network: TLS 1.3 and nothing else."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn

from gateway.portal.app import create_app
from gateway.store.home import Home
from keys.secret import Secret
from policies.errors import Refused

#: An idle connection is kept so long [s]; then a browser opens another
KEEP_ALIVE_SECONDS = 15
#: Downloads under way may end before the process does [s]
GRACE_SECONDS = 10
#: Connections at once; more get 503
MOST_CONNECTIONS = 2000

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Leaves signals to `serve`: uvicorn raises them again at its end, and the process would seem to have been killed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    home: Home,
    ready: Callable[[], None],
    sample: Callable[[], bytes] | None = None,
    *,
    listening: socket.socket | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the portal until SIGTERM, SIGINT or `stop`; `ready` is called once it listens.

    `listening` is a socket to serve on instead of the configuration's host and port. Raises Refused (`port-taken`).
    """
    listener = listening or bind(home.config.portal.host, home.config.portal.port)
    key = home.keystore.read("tls", "portal")
    certificate = home.public / "portal.pem"
    config = uvicorn.Config(
        create_app(home, sample),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=lambda _config, _default: tls_context(certificate, key),
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    with contextlib.suppress(ValueError, RuntimeError):  # outside the main thread there are no signals to hear
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait()) if stop else None
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            host, port = listener.getsockname()[:2]
            log.info("portal listens", host=host, port=port)
            ready()
        await asyncio.wait([task for task in (serving, stopping) if task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        end()
        if stopping:
            stopping.cancel()
        await serving


def bind(host: str, port: int) -> socket.socket:
    """A socket that will listen at `host` and `port`; Refused (`port-taken`) when another program has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Refused(
            "port-taken", f"The portal can't listen on port {port} ({error.strerror}).", "Change [portal] in sluis.toml."
        ) from None
    return listener


def tls_context(certificate: Path, key: Secret) -> ssl.SSLContext:
    """TLS 1.3 only (NCSC-NL: good). The key goes to OpenSSL through memory: its file in the keystore keeps its one reader."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as memory:
        memory.write(key.reveal())
        memory.flush()
        context.load_cert_chain(certificate, f"/proc/self/fd/{descriptor}")
    return context
