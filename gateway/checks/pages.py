"""The parts of the vendors' pages that say what the checks do, made from what the checks use: they can't lag behind."""

import re
import sys
from pathlib import Path

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.rule import PLACEHOLDERS, Level
from policies.rules import Column, Kind, packaged_rules

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


#: format → the page that has its columns
_FORMATS = {"nco-lvs-1": "nco-lvs-1.md", "nco-bezwaar-1": "nco-bezwaar-1.md", "nco-intrekking-1": "verbeteren.md"}
_BLOCK = re.compile(r"(<!-- generated: columns -->\n).*?(<!-- end -->)", re.DOTALL)


def columns_table(format_name: str) -> str:
    """The columns of a format as a Markdown table, in Dutch."""
    lines = ["| kolom | verplicht | betekenis | waarden | voorbeeld |", "| --- | --- | --- | --- | --- |"]
    for column in packaged_rules(format_name).columns:
        required = "ja" if column.required else ""
        example = f"`{column.example}`" if column.example else ""
        lines.append(f"| `{column.name}` | {required} | {column.meaning} | {_values(column)} | {example} |")
    return "\n".join(lines) + "\n"


def _values(column: Column) -> str:
    if column.values:
        return ", ".join(f"`{value}`" for value in column.values)
    if column.kind is Kind.INTEGER and column.range is not None:
        return f"{column.range[0]:.0f} tot en met {column.range[1]:.0f}"
    return ""


def pages(folder: Path) -> dict[Path, str]:
    """Each page of `folder` that is made (partly) from the code, with the text it must have now."""
    made = {folder / "bevindingen.md": findings_page()}
    for name, page in _FORMATS.items():
        path = folder / page
        made[path] = _BLOCK.sub(lambda block, name=name: block[1] + columns_table(name) + block[2], path.read_text(encoding="utf-8"))  # type: ignore[misc]
    return made


if __name__ == "__main__":
    for page, text in pages(Path(sys.argv[1])).items():
        page.write_text(text, encoding="utf-8")
