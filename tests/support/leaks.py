"""What of a file's content stands in what was said about it: in findings, in exceptions, in whatever they carry along."""

import re
from functools import cache

from gateway.checks.check import Outcome
from gateway.checks.pages import findings_page
from policies.rules import packaged_rules

FORMATS = ("nco-lvs-1", "nco-bezwaar-1", "nco-intrekking-1")
#: shorter runs of signs turn up in any text
_SHORTEST = 5


@cache
def own_words() -> str:
    """What is the format's own and may stand in a finding's text."""
    columns = [column for name in FORMATS for column in packaged_rules(name).columns]
    values = " ".join(value for column in columns for value in (column.name, *column.values))
    # and the elements of EDEXML that a finding may name
    return f"{findings_page()} {values} resultaat postcodenl brincode resultaten.xml leerlingen.xml"


def values_in(data: bytes) -> set[str]:
    """The values in a file that would be recognised: counts and row numbers are told, so a short number is none."""
    found = {token.strip() for token in re.split(r"[;,\"'<>=/\s\0]", data.decode("utf-8", "replace"))}
    return {one for one in found if len(one) >= _SHORTEST and (not one.isdigit() or len(one) in (8, 9)) and one not in own_words()}


def told(outcome: Outcome) -> str:
    """All that an outcome says in words."""
    return " ".join(f"{item.column} {item.rule} {item.message}" for item in outcome.findings)


def carried(error: BaseException | None) -> str:
    """The texts of an exception, of what it was raised from or while handling, and so on."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error} {getattr(error, '__notes__', '')}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def leaked(data: bytes, *texts: str) -> set[str]:
    """The values of `data` that stand in one of the texts."""
    said = " ".join(texts)
    return {value for value in values_in(data) if value in said}
