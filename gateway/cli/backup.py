"""`sluis backup`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.backup import make_backup
from policies.errors import Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def backup(
    ctx: typer.Context,
    to: Annotated[Path, typer.Option("--to", help="The file to write; it must not be there yet.")],
    recipient: Annotated[
        list[str], typer.Option("--recipient", help="An age public key, or a file with some: who can open the backup. May be repeated.")
    ],
) -> None:
    """Write all of the home into one sealed file, but the keys that must die and what is nothing without them. The services may run."""
    home = home_of(ctx)
    recipients = recipients_of(recipient)
    made = make_backup(home, to, recipients)
    show(
        ctx,
        {
            "file": str(to),
            "bytes": made.bytes,
            "sha256": made.sha256,
            "members": made.members,
            "log_size": made.log_size,
            "recipients": len(recipients),
        },
    )


def recipients_of(given: Sequence[str]) -> list[str]:
    """Each `age1…` as it is, and those in files: one on a line, `#` begins a remark. Refused (`no-recipient-file`)."""
    found: list[str] = []
    for one in given:
        if one.startswith("age1"):
            found.append(one)
            continue
        try:
            lines = [line.strip() for line in Path(one).read_text(encoding="ascii").splitlines()]
        except (OSError, UnicodeDecodeError):
            raise Refused(
                "no-recipient-file", "That is neither an age key nor a file with some.", "`age-keygen -y FILE` tells them."
            ) from None
        found += [line for line in lines if line and not line.startswith("#")]
    return found
