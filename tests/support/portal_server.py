"""The portal as `sluis serve portal` runs it: TLS on a loopback port, in a thread of the test."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from gateway.portal.serve import bind, serve
from gateway.store.home import Home


@contextmanager
def running_portal(home: Home, sample: Callable[[], bytes] | None = None) -> Iterator[int]:
    """The portal of `home` while the block runs; its port."""
    listener = bind("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    ready = Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        await serve(home, ready.set, sample, listening=listener, stop=end)

    thread = Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(30), "the portal did not start"
        yield port
    finally:
        stop[0]()
        thread.join(30)
        assert not thread.is_alive(), "the portal did not stop"


def trusting(home: Home) -> ssl.SSLContext:
    """A client that trusts the certificate of this home and nothing else."""
    context = ssl.create_default_context(cafile=str(home.public / "portal.pem"))
    context.check_hostname = False
    return context
