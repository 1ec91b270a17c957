"""The home that a command works on."""

import os
from contextlib import suppress
from pathlib import Path

import typer

from gateway.cli.settings import settings_of
from gateway.store.clock import GatewayClock
from gateway.store.home import Home
from gateway.store.timekeeping import keep_time
from policies.errors import WrongUsage


def home_path(ctx: typer.Context) -> Path:
    """The folder of --home or SLUIS_HOME; WrongUsage when neither is given."""
    path = settings_of(ctx).home
    if path is None:
        raise WrongUsage("no-home", "No home was named.", "Give --home DIR, or set SLUIS_HOME.")
    return path.resolve()


def home_of(ctx: typer.Context) -> Home:
    """The opened home, checked; Unsound when it is not fit to be used. Gateway time is kept, by who may write it."""
    home = Home.open(home_path(ctx))
    if os.access(home.public, os.W_OK):
        keep_time(home, "administrator")
    return home


def home_without_ledger_of(ctx: typer.Context) -> Home:
    """The same without a look at its database, for the end of keys. Gateway time goes on with the wall clock; of a clock that was set
    `keep_time` tells once the ledger is there."""
    home = Home.open_without_ledger(home_path(ctx))
    if isinstance(home.clock, GatewayClock):
        with suppress(OSError):  # it holds for this process all the same
            home.clock.keep()
    return home
