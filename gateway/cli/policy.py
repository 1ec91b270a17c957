"""`sluis policy`: the rules by which deliveries are checked, with what an administrator adds to those that come with Sluis."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.settings import settings_of
from gateway.store.rules import additions_file, additions_of, handed_to_vendors
from policies.errors import Refused, Unsound
from policies.rules import Bounds, Rules, packaged_rules, with_additions

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="The rules of deliveries, and what an administrator adds to them.")

_FORMAT = "nco-lvs-1"
#: lists of the document that a person reads as numbers
_LONG = ("tests", "scales", "special_category")


@app.command("show")
def show_rules(ctx: typer.Context) -> None:
    """The rules of this home; --json: with every test, scale and pattern. Vendors have them while what they find is the same file."""
    home = home_of(ctx)
    additions = additions_of(home)
    rules = with_additions(packaged_rules(_FORMAT), additions, str(additions_file(home)))
    taken_up = additions == handed_to_vendors(home)
    _show(ctx, {"additions": str(additions_file(home)) if additions else None, "taken_up": taken_up, **_document(rules)})


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="Additions (TOML), not yet in the home.")],
) -> None:
    """Say what the rules would be with these additions, or in which line they are wrong and why; changes nothing, and needs no home."""
    try:
        rules = with_additions(packaged_rules(_FORMAT), file.read_bytes(), str(file))
    except Unsound as error:  # it is not in force anywhere: nothing of a home is unsound
        raise Refused(error.code, error.message, error.hint) from None
    _show(ctx, _document(rules))


def _show(ctx: typer.Context, document: dict[str, Any]) -> None:
    if not settings_of(ctx).json:
        document = {key: len(value) if key in _LONG else value for key, value in document.items()}
    show(ctx, document)


def _document(rules: Rules) -> dict[str, Any]:
    return {
        "format": rules.format,
        "refused_rows_share": rules.refused_rows_share,
        "objecting_pupils": rules.objecting_pupils,
        "school_years": rules.history_school_years,
        "leaver_years": rules.leaver_school_years,
        "age_at_test_years": rules.age_at_test_years,
        "publishers": rules.values("uitgever"),
        "domains": rules.values("domein"),
        "tests": [
            {"pattern": test.pattern.pattern, "publisher": test.publisher, "domain": test.domain, "moment": test.moment or None}
            for test in rules.tests
        ],
        "scales": [
            {
                "publisher": scale.publisher,
                "domain": scale.domain or None,
                "moment": scale.moment or None,
                "range": _pair(scale.range),
                "plausible": _pair(scale.plausible),
            }
            for scale in rules.scales
        ],
        "special_category": [
            {"topic": category.topic, "patterns": [pattern.pattern for pattern in category.patterns]} for category in rules.special_category
        ],
    }


def _pair(bounds: Bounds | None) -> list[float] | None:
    return None if bounds is None else list(bounds)
