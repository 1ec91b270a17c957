"""`sluis deliver`: the vendor's side. Needs no home."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import say, show
from gateway.cli.settings import settings_of

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

_SAID = {"encrypt": "encrypting", "upload": "sending", "wait": "waiting for the receipt", "reconnect": "connection lost, trying again"}


@app.command()
def check(ctx: typer.Context, file: Path) -> None:
    """Check a file as the gateway would, before it is sent. Nothing leaves this machine."""
    from gateway.vendor.check import check_file

    verdict = check_file(file)
    if settings_of(ctx).json:
        show(ctx, verdict.as_dict())
    else:
        show(
            ctx,
            {
                "file": verdict.file,
                "format": verdict.format,
                "verdict": "refused" if verdict.refused else "fit to be sent",
                **verdict.counts,
            },
        )
        if verdict.findings:
            columns = ["row", "column", "rule", "message"]
            show(ctx, [finding.as_dict() for finding in verdict.findings], columns, f"{verdict.findings_total} findings")
    if verdict.refused:
        raise typer.Exit(1)


@app.command()
def send(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="The files to deliver; they are encrypted on the way, unless they are already.")],
    to: Annotated[str, typer.Option(help="The gateway: sftp://NAME@HOST:PORT.")],
    folder: Annotated[str, typer.Option(help="leveringen, or bezwaren for objection registers.")] = "leveringen",
    key: Annotated[Path | None, typer.Option(help="Your private SSH key; none: those of the SSH agent.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="Where the gateway's host key is known from.")] = None,
    host_key: Annotated[str | None, typer.Option(help="The gateway's host key as its owner told you: SHA256:…")] = None,
    gateway_key: Annotated[Path | None, typer.Option(help="The key that signs receipts, as its owner gave it to you.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the gateway has checked the files.")] = True,
    timeout_seconds: Annotated[float, typer.Option(help="How long to wait for each receipt [s].")] = 600.0,
    attempts: Annotated[int, typer.Option(min=1, help="How often the connection may break before giving up.")] = 6,
    outbox: Annotated[Path | None, typer.Option(help="Where encrypted copies wait until they are delivered.")] = None,
) -> None:
    """Encrypt, upload with resume, wait for the receipts and verify them. Several files go over one connection."""
    from gateway.vendor.connection import Access
    from gateway.vendor.outbox import default_outbox
    from gateway.vendor.receipts import FAILED
    from gateway.vendor.send import FOLDERS, Order, Sender
    from gateway.vendor.target import Target
    from policies.errors import WrongUsage

    if folder not in FOLDERS:
        raise WrongUsage("no-such-folder", "The gateway has no such folder.", f"Choose {' or '.join(FOLDERS)}.")
    access = Access(
        key_file=key,
        passphrase=_ask_passphrase if sys.stdin.isatty() else None,
        known_hosts=known_hosts or Path.home() / ".ssh" / "known_hosts",
        host_fingerprint=host_key,
    )
    order = Order(
        files=files,
        target=Target.parse(to),
        access=access,
        outbox=outbox or default_outbox(),
        folder=folder,
        wait_seconds=timeout_seconds if wait else 0.0,
        gateway_key=_text(gateway_key),
        attempts=attempts,
    )
    with _progress(ctx) as tell:
        sent = Sender(order, tell).run()
    answers: list[dict[str, Any]] = [
        {"file": str(one.source), "delivered_as": one.name, "bytes": one.bytes, "sha256": one.sha256, "receipt": one.receipt}
        for one in sent
    ]
    if settings_of(ctx).json:
        show(ctx, answers)
    else:
        for one in sent:
            _tell_one(ctx, one.name, one.receipt, wait)
    if wait and any(one.receipt is None or one.receipt["state"] in FAILED for one in sent):
        raise typer.Exit(1)


def _ask_passphrase() -> str:
    answer: str = typer.prompt("Passphrase of your SSH key", hide_input=True, err=True)
    return answer


def _text(path: Path | None) -> str | None:
    from policies.errors import NotFound

    try:
        return path.read_text(encoding="utf-8") if path else None
    except OSError:
        raise NotFound("no-key-file", f"{path} can't be read.", "Name the file the gateway's owner gave you.") from None


def _tell_one(ctx: typer.Context, name: str, receipt: dict[str, Any] | None, waited: bool) -> None:
    from gateway.drop.receipt import dutch

    if receipt is None:
        say(ctx, f"{name}: delivered" + (", but there is no receipt yet; look in ontvangst/ later." if waited else "."))
    else:
        say(ctx, f"{name}: delivered, and the receipt's signature is right.")
        typer.echo(dutch(receipt))


@contextmanager
def _progress(ctx: typer.Context) -> Iterator[Any]:
    """A bar for each file on a terminal; silence for programs."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    quiet = settings_of(ctx).json or not console.is_terminal
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=quiet,
        transient=True,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(file: str, stage: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file)
            bars.update(tasks[file], description=f"{file} {_SAID[stage]}".strip(), completed=done, total=total or None)

        yield tell
