"""The vendors' page of findings, made from the catalogue so that it can't lag behind it."""

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.rule import Level

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
        "Deze pagina is gemaakt uit de lijst waarmee de controles werken: `python -m gateway.checks.pages > docs/vendor/bevindingen.md`.",
    ]
    for level, (heading, text) in _HEADINGS.items():
        lines += ["", f"## {heading}", "", text]
        for rule in CATALOGUE.values():
            if rule.level is level:
                said = rule.dutch.format(count="…", limit="…", topic="…")
                lines += ["", f"### `{rule.code}`", "", f"{said} *({rule.english.format(count='…', limit='…', topic='…')})*", ""]
                lines += [f"- **Oorzaak**: {rule.cause}", f"- **Oplossing**: {rule.cure}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(findings_page(), end="")
