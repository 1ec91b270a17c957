"""`sluis deliver`: the vendor's side. Needs no home. `sluis-deliver` is the same as a program of its own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from gateway.cli.languages import Language
from gateway.cli.settings import settings_of

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

Lang = Annotated[Language, typer.Option("--lang", envvar="SLUIS_LANG", help="The language to answer in.")]
RulesFile = Annotated[Path | None, typer.Option("--rules", help="What the gateway adds to the rules: its sleutels/sluis.regels.toml.")]
SchoolsFile = Annotated[Path | None, typer.Option("--register-of-schools", help="DUO's CSV of all schools, to find unknown ones.")]


@dataclass(frozen=True)
class _Line:
    """How to reach a gateway, and how long to try."""

    to: Annotated[str, typer.Option(help="The gateway: sftp://NAME@HOST:PORT.")]
    key: Annotated[Path | None, typer.Option(help="Your private SSH key; none: those of the SSH agent.")] = None
    known_hosts: Annotated[Path | None, typer.Option(help="Where the gateway's host key is known from.")] = None
    host_key: Annotated[str | None, typer.Option(help="The gateway's host key as its owner told you: SHA256:…")] = None
    known_gateways: Annotated[Path | None, typer.Option(help="Where the keys are remembered that gateways sign with.")] = None
    gateway_key: Annotated[Path | None, typer.Option(help="The key that the gateway signs with, as its owner gave it to you.")] = None
    recipient: Annotated[str | None, typer.Option(help="The age key that must be the gateway's, as its owner gave it to you: age1…")] = None
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the gateway has checked the files.")] = True
    timeout_seconds: Annotated[float, typer.Option(help="How long to wait for each receipt [s].")] = 600.0
    attempts: Annotated[int, typer.Option(min=1, help="How often the connection may break before giving up.")] = 6


def _on_a_line(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of _Line beside its own: it gets them as one, `line`."""

    def given(**options: Any) -> None:
        line = _Line(**{one.name: options.pop(one.name) for one in fields(_Line)})
        command(line=line, **options)

    own = [parameter for parameter in signature(command).parameters.values() if parameter.name != "line"]
    both = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in (*own, *signature(_Line).parameters.values())]
    given.__name__, given.__doc__ = command.__name__, command.__doc__
    given.__annotations__ = {parameter.name: parameter.annotation for parameter in both}
    given.__signature__ = Signature(both)  # type: ignore[attr-defined]
    return given


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CSV, CSV in gzip, or a zip of EDEXML and UWLR; the content says which.")],
    show_values: Annotated[bool, typer.Option("--show-values", help="Show what stands in the places that are wrong.")] = False,
    rules: RulesFile = None,
    register_of_schools: SchoolsFile = None,
    lang: Lang = Language.NL,
) -> None:
    """Check files as the gateway would, before they are sent. Nothing leaves this machine. With --json one file answers with a document,
    several with a list of them."""
    from gateway.cli.deliver_said import tell_verdicts
    from gateway.cli.output import show
    from gateway.vendor.check import check_file

    with _answering(lang):
        against = _against(rules, register_of_schools)
        verdicts = [check_file(file, against) for file in files]
        if show_values:
            verdicts = [verdict.with_values() for verdict in verdicts]
    if settings_of(ctx).json:
        documents = [verdict.as_dict() for verdict in verdicts]
        show(ctx, documents if len(documents) > 1 else documents[0])
    else:
        tell_verdicts(verdicts, lang)
    if any(verdict.refused for verdict in verdicts):
        raise typer.Exit(1)


@app.command()
@_on_a_line
def send(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="The files to deliver; they are encrypted on the way, unless they are already.")],
    line: _Line,
    folder: Annotated[str | None, typer.Option(help="leveringen, or bezwaren for objection registers; else by content.")] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Send nothing that the gateway would refuse.")] = True,
    rules: RulesFile = None,
    register_of_schools: SchoolsFile = None,
    outbox: Annotated[Path | None, typer.Option(help="Where encrypted copies wait until they are delivered.")] = None,
    lang: Lang = Language.NL,
) -> None:
    """Check, encrypt, upload with resume, wait for the receipts and verify them. Several files go over one connection."""
    from gateway.vendor.outbox import default_outbox
    from gateway.vendor.refusals import refusal
    from gateway.vendor.send import FOLDERS

    with _answering(lang):
        if folder not in (None, *FOLDERS):
            raise refusal("no-such-folder", folders=" / ".join(FOLDERS))
        against = _against(rules, register_of_schools) if rules or register_of_schools else None
        _deliver(ctx, line, files, lang, outbox=outbox or default_outbox(), folder=folder, check=check, against=against)


@app.command()
@_on_a_line
def withdraw(
    ctx: typer.Context,
    drops: Annotated[list[str], typer.Argument(help="The deliveries to take back, as their receipts call them (`drop`).")],
    reason: Annotated[str, typer.Option(help="onjuist, dubbel, toestemming or anders.")],
    line: _Line,
    lang: Lang = Language.NL,
) -> None:
    """Take whole deliveries back. It can't be undone; delivering anew can."""
    from gateway.vendor.withdrawal import write_withdrawal

    with _answering(lang), TemporaryDirectory() as folder:
        # run again it is another file: nothing is kept to resume
        _deliver(ctx, line, [write_withdrawal(Path(folder), drops, reason)], lang, outbox=Path(folder))


@app.command()
def sample(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where to write them: a new folder, or one that has none of them.")],
    lang: Lang = Language.NL,
) -> None:
    """Write a valid example of every format, about made-up pupils."""
    from datetime import datetime

    from gateway.cli.deliver_said import said
    from gateway.cli.output import show
    from gateway.vendor.sample import write_samples
    from policies.calendar import AMSTERDAM

    with _answering(lang):
        files = write_samples(folder, datetime.now(AMSTERDAM).date())
    if settings_of(ctx).json:
        show(ctx, {"folder": str(folder), "files": [file.name for file in files]})
    else:
        typer.echo("\n  ".join([said("sample", lang, folder=folder), *(file.name for file in files)]))


@contextmanager
def _answering(lang: Language) -> Iterator[None]:
    """Says errors in Dutch where that was asked for and they know how."""
    from policies.errors import SluisError

    try:
        yield
    except SluisError as error:
        if lang is Language.NL and error.dutch is not None:
            error.message, error.hint = error.dutch
        raise


def _against(rules: Path | None, schools: Path | None) -> Any:
    from gateway.vendor.check import Against, read_rules, read_schools

    given: dict[str, Any] = {}
    if rules is not None:
        given["rules"] = read_rules(rules)
    if schools is not None:
        given["schools"] = read_schools(schools)
    return Against(**given)


def _deliver(ctx: typer.Context, line: _Line, files: list[Path], lang: Language, **how: Any) -> None:
    """Send files and tell what became of them; exit status 1 when one was refused or its receipt did not come."""
    from gateway.cli.deliver_said import said, tell_sent, tell_verdicts
    from gateway.cli.output import show
    from gateway.vendor.connection import Access
    from gateway.vendor.known import default_known_gateways
    from gateway.vendor.receipts import FAILED
    from gateway.vendor.send import NotFit, Order, Sender
    from gateway.vendor.target import Target

    access = Access(
        key_file=line.key,
        passphrase=_ask_passphrase if sys.stdin.isatty() else None,
        known_hosts=line.known_hosts or Path.home() / ".ssh" / "known_hosts",
        host_fingerprint=line.host_key,
    )
    order = Order(
        files=files,
        target=Target.parse(line.to),
        access=access,
        known_gateways=line.known_gateways or default_known_gateways(),
        wait_seconds=line.timeout_seconds if line.wait else 0.0,
        gateway_key=_text(line.gateway_key),
        recipient=line.recipient,
        attempts=line.attempts,
        **how,
    )
    as_json = settings_of(ctx).json
    sender = None
    try:
        with _progress(ctx, lang) as tell:
            sender = Sender(order, tell)
            sent = sender.run()
    except NotFit as refused:
        show(ctx, [verdict.as_dict() for verdict in refused.verdicts]) if as_json else tell_verdicts(refused.verdicts, lang)
        raise
    finally:
        if sender is not None and sender.new_key is not None:
            typer.echo(said("pinned", lang, where=order.target.known_as, key=sender.new_key), err=True)
    if as_json:
        show(
            ctx,
            [
                {"file": str(one.source), "delivered_as": one.name, "bytes": one.bytes, "sha256": one.sha256, "receipt": one.receipt}
                for one in sent
            ],
        )
    else:
        for one in sent:
            tell_sent(one.name, one.receipt, line.wait, lang)
    if line.wait and any(one.receipt is None or one.receipt["state"] in FAILED for one in sent):
        raise typer.Exit(1)


def _ask_passphrase() -> str:
    answer: str = typer.prompt("Passphrase of your SSH key", hide_input=True, err=True)
    return answer


def _text(path: Path | None) -> str | None:
    from gateway.vendor.refusals import refusal

    try:
        return path.read_text(encoding="utf-8") if path else None
    except (OSError, UnicodeDecodeError):
        raise refusal("no-key-file", path=path) from None


@contextmanager
def _progress(ctx: typer.Context, lang: Language) -> Iterator[Any]:
    """A bar for each file on a terminal; silence for programs."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from gateway.cli.deliver_said import said

    console = Console(stderr=True)
    quiet = settings_of(ctx).json or not console.is_terminal
    with Progress(
        TextColumn("{task.description}", markup=False),
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
            bars.update(tasks[file], description=f"{file} {said(stage, lang)}".strip(), completed=done, total=total or None)

        yield tell
