"""`sluis vendor limit`: what one vendor may use, where that differs from sluis.toml."""

import re
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.vendor_limits import LIMITS, clear_limits, limit_named, limits_of, set_limits
from gateway.store.vendors import vendor_of
from policies.errors import WrongUsage

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_KEYS = f"One of: {', '.join(LIMITS)}; _per_vendor may be left out."


@app.command("set")
def set_(
    ctx: typer.Context,
    name: str,
    limits: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help=f"{_KEYS} Bytes may be written as 10GiB.")],
) -> None:
    """Values of this vendor's own, in place of those of sluis.toml. They apply at once, to running sessions too."""
    wanted = dict(_limit(text) for text in limits)
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        set_limits(change, name, wanted)
        own = dict(vendor_of(change.session, name).limits)
    sequence(home)
    show(ctx, {"vendor": name, "own_limits": own, "limits": limits_of(own, home.config.intake)})


@app.command()
def clear(
    ctx: typer.Context,
    name: str,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY…]", help=f"{_KEYS} None: all of them.")] = None,
) -> None:
    """The values of sluis.toml apply again."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        clear_limits(change, name, keys or ())
        own = dict(vendor_of(change.session, name).limits)
    sequence(home)
    show(ctx, {"vendor": name, "own_limits": own, "limits": limits_of(own, home.config.intake)})


def _limit(text: str) -> tuple[str, int]:
    key, sign, value = text.partition("=")
    found = re.fullmatch(r"(\d+)\s*([a-z]*)", value.strip().lower().replace("_", ""))
    if not sign or found is None or found[2] not in UNITS:
        raise WrongUsage("bad-limit", "A limit is written KEY=NUMBER.", "For example day_bytes=20GiB or max_sessions=4.")
    key = limit_named(key.strip())
    if found[2] and "bytes" not in key:
        raise WrongUsage("bad-limit", "That limit counts things, not bytes.", "For example max_sessions=4.")
    return key, int(found[1]) * UNITS[found[2]]
