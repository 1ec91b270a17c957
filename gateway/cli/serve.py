"""`sluis serve`: one role in this process, or all three as processes of their own."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
from enum import StrEnum
from threading import Event
from typing import Annotated

import structlog
import typer

from gateway.cli.context import home_of, home_path
from gateway.store.home import Home

app = typer.Typer(add_completion=False, rich_markup_mode=None)
log = structlog.get_logger()


class Role(StrEnum):
    INTAKE = "intake"
    WORKER = "worker"
    PORTAL = "portal"


@app.command()
def serve(ctx: typer.Context, role: Annotated[Role | None, typer.Argument(help="Which role; none: all three.")] = None) -> None:
    """Run a role in the foreground until SIGTERM or Ctrl-C; none named: all three, each in a process of its own."""
    if role is None:
        raise typer.Exit(_all(ctx))
    # gateway time is the worker's to keep: the roles at the edge only read it
    home = home_of(ctx) if role == Role.WORKER else Home.open(home_path(ctx))
    {Role.INTAKE: _intake, Role.WORKER: _worker, Role.PORTAL: _portal}[role](home)


def _intake(home: Home) -> None:
    """In this process, or as a front and several doors: `[intake] processes`."""
    from gateway.intake.server import serve
    from gateway.intake.supervisor import SWITCH_SECONDS, doors_wanted, supervise

    if doors_wanted(home.config.intake.processes) > 1:
        raise typer.Exit(supervise(home, tell_ready, notify))
    import uvloop

    gc.collect()
    gc.freeze()  # what was imported stays: it is not to be looked through again and again
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(serve(home, tell_ready, notify))


def _portal(home: Home) -> None:
    from gateway.cli.sample import sample_report
    from gateway.portal.serve import serve

    asyncio.run(serve(home, tell_ready, sample_report))


def _worker(home: Home) -> None:
    from gateway.worker.serve import serve

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(home, tell_ready, stop)


def tell_ready() -> None:
    """Whoever started us may send work."""
    notify("READY=1")


def notify(state: str) -> None:
    """sd_notify(3): tell `state` to whoever started us, when it asked to be told. That it no longer listens must not end a service."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, contextlib.suppress(OSError):
            told.connect("\0" + address[1:] if address.startswith("@") else address)
            told.send(state.encode())


def _all(ctx: typer.Context) -> int:
    """The three roles side by side; when one ends, the others are asked to end too."""
    home = home_path(ctx)
    command = [sys.executable, "-m", "gateway.cli", "--home", str(home), "serve"]
    roles = {role: subprocess.Popen([*command, role]) for role in Role}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for process in roles.values():
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    first, status = os.waitpid(-1, 0)
    ended = next((role for role, process in roles.items() if process.pid == first), None)
    if ended is not None:
        roles[ended].returncode = os.waitstatus_to_exitcode(status)
    if not stopping:
        log.error("a role ended by itself; the others are stopped", role=ended)
        stop()
    codes = [process.returncode if process.returncode is not None else process.wait() for process in roles.values()]
    return 0 if all(code == 0 for code in codes) else 3
