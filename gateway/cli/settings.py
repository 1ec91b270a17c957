"""The global flags of a command: where its home is, and whether a program or a person reads its answer."""

from dataclasses import dataclass
from pathlib import Path

import typer


@dataclass(frozen=True)
class Settings:
    home: Path | None
    json: bool


def settings_of(ctx: typer.Context) -> Settings:
    found = ctx.find_object(Settings)
    assert found is not None, "the callback of each program sets it"
    return found
