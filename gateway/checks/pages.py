"""The parts of the vendors' pages that say what the checks do, made from what the checks use: they can't lag behind."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.rule import PLACEHOLDERS, Level
from policies.rules import Bounds, Column, Kind, Rules, packaged_rules

_HEADINGS = {
    Level.DROP: ("Hele levering geweigerd", "De levering wordt in haar geheel geweigerd; er wordt niets van gebruikt."),
    Level.ROW: (
        "Rij geweigerd",
        "De rij wordt geweigerd; de andere rijen gaan door, tenzij er te veel zijn geweigerd (`too-many-refused`).",
    ),
    Level.WARNING: ("Waarschuwing", "Er wordt niets geweigerd om deze reden."),
}


def findings_page() -> str:
    """docs/vendor/bevindingen.md: every code with its text, cause and cure, in Dutch (Markdown)."""
    lines = [
        "# Bevindingen",
        "",
        "Elke bevinding in een ontvangstbewijs heeft een code (`rule`). Een bevinding noemt een rijnummer (1 is de eerste regel na de",
        "kopregel), een kolom en een aantal, maar nooit een waarde uit het bestand.",
        "",
        "Deze pagina is gemaakt uit de lijst waarmee de controles werken: `python -m gateway.checks.pages docs/vendor`.",
    ]
    for level, (heading, text) in _HEADINGS.items():
        lines += ["", f"## {heading}", "", text]
        for rule in CATALOGUE.values():
            if rule.level is level:
                dutch, english = (text.format(**dict.fromkeys(PLACEHOLDERS, "…")) for text in (rule.dutch, rule.english))
                lines += ["", f"### `{rule.code}`", "", f"{dutch} *({english})*", ""]
                lines += [f"- **Oorzaak**: {rule.cause}", f"- **Oplossing**: {rule.cure}"]
    return "\n".join(lines) + "\n"


#: page → the format whose rules it tells
_PAGES = {
    "nco-lvs-1.md": "nco-lvs-1",
    "edexml-uwlr.md": "nco-lvs-1",
    "nco-bezwaar-1.md": "nco-bezwaar-1",
    "verbeteren.md": "nco-intrekking-1",
}
_BLOCK = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _columns(rules: Rules) -> Iterator[str]:
    yield from ("| kolom | verplicht | betekenis | waarden | voorbeeld |", "| --- | --- | --- | --- | --- |")
    for column in rules.columns:
        required = "ja" if column.required else ""
        example = f"`{column.example}`" if column.example else ""
        yield f"| `{column.name}` | {required} | {column.meaning} | {_values(column)} | {example} |"


def _values(column: Column) -> str:
    if column.values:
        return _codes(column.values)
    if column.kind is Kind.INTEGER and column.range is not None:
        return _between(column.range)
    return ""


def _scales(rules: Rules) -> Iterator[str]:
    yield from ("| uitgever | een score buiten dit bereik wordt geweigerd |", "| --- | --- |")
    for publisher in rules.values("uitgever"):
        yield f"| `{publisher}` | {_between(rules.bounds(publisher)[0])} |"
    domains = list(dict.fromkeys((scale.publisher, scale.domain) for scale in rules.scales if scale.plausible))
    yield from ("", "Buiten deze grenzen volgt een waarschuwing (`unusual-score`):", "")
    yield "| afnamemoment | " + " | ".join(f"`{publisher}`, `{domain}`" for publisher, domain in domains) + " |"
    yield "| --- |" + " --- |" * len(domains)
    for moment in rules.values("afnamemoment"):
        found = [rules.bounds(*place, moment)[1] for place in domains]
        if any(found):
            yield f"| `{moment}` | " + " | ".join(map(_between, found)) + " |"


def _tests(rules: Rules) -> Iterator[str]:
    yield from ("| toetscode (reguliere expressie) | uitgever | domein |", "| --- | --- | --- |")
    for test in rules.tests:
        pattern = test.pattern.pattern.replace("|", "\\|")
        yield f"| `{pattern}` | `{test.publisher}` | `{test.domain}` |"


def _special(rules: Rules) -> Iterator[str]:
    yield from ("| onderwerp | geweigerd als de naam dit bevat (reguliere expressie) |", "| --- | --- |")
    for category in rules.special_category:
        yield f"| {category.topic} | {_codes(pattern.pattern.replace('|', chr(92) + '|') for pattern in category.patterns)} |"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _between(bounds: Bounds | None) -> str:
    return "" if bounds is None else " tot en met ".join(f"{bound:g}".replace(".", ",") for bound in bounds)


_MADE: dict[str, Callable[[Rules], Iterator[str]]] = {"columns": _columns, "scales": _scales, "tests": _tests, "special": _special}


def pages(folder: Path) -> dict[Path, str]:
    """Each page of `folder` that is made (partly) from the code, with the text it must have now; KeyError for a block nobody makes."""
    made = {folder / "bevindingen.md": findings_page()}
    for page, name in _PAGES.items():
        rules = packaged_rules(name)
        text = (folder / page).read_text(encoding="utf-8")
        made[folder / page] = _BLOCK.sub(lambda block, rules=rules: block[1] + "\n".join(_MADE[block[2]](rules)) + "\n" + block[3], text)  # type: ignore[misc]
    return made


if __name__ == "__main__":
    for page, text in pages(Path(sys.argv[1])).items():
        page.write_text(text, encoding="utf-8")
