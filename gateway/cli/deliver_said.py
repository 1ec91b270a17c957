"""What the vendor's side says on a screen: Dutch, and English with `--lang en`. Programs read --json, which is in no language."""

from collections.abc import Sequence
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.findings import Finding
from gateway.checks.rule import Level
from gateway.cli.languages import Language
from gateway.cli.output import wide_console
from gateway.drop.receipt import dutch
from gateway.vendor.check import FIRST_ROWS, Broken, Verdict

_SAID: dict[str, tuple[str, str]] = {
    "fit": ("kan worden verstuurd", "fit to be sent"),
    "refused": ("wordt geweigerd", "refused"),
    "counts": (
        "{rows} rijen, {refused_rows} geweigerd; {pupils} leerlingen, {schools} scholen",
        "{rows} rows, {refused_rows} refused; {pupils} pupils, {schools} schools",
    ),
    "counts-of-rows": ("{rows} rijen, {refused_rows} geweigerd", "{rows} rows, {refused_rows} refused"),
    "summary": ("{files} bestanden: {fit} in orde, {refused} geweigerd", "{files} files: {fit} fit, {refused} refused"),
    "finding": ("bevinding", "finding"),
    "count": ("aantal", "count"),
    "where": ("de eerste plaatsen", "first places"),
    "what": ("wat er is, en wat u doet", "what is wrong, and what to do"),
    "cure": ("Oplossing: {cure}", "Cure (in Dutch): {cure}"),
    Level.DROP: ("hele levering geweigerd", "refuses all of it"),
    Level.ROW: ("rij geweigerd", "refuses the row"),
    Level.WARNING: ("waarschuwing", "warning"),
    "in-row": ("rij {row}", "row {row}"),
    "in-column": ("kolom {column}", "column {column}"),
    "encrypt": ("versleutelen", "encrypting"),
    "check": ("controleren", "checking"),
    "upload": ("versturen", "sending"),
    "wait": ("wachten op het ontvangstbewijs", "waiting for the receipt"),
    "reconnect": ("verbinding verbroken, nieuwe poging", "connection lost, trying again"),
    "pinned": (
        "De sleutel waarmee {where} tekent is onthouden. Vergelijk hem met wat de beheerder u gaf:\n  {key}",
        "The key that {where} signs with is remembered. Compare it with what its owner told you:\n  {key}",
    ),
    "delivered": ("{name}: geleverd.", "{name}: delivered."),
    "no-receipt": (
        "{name}: geleverd, maar er is nog geen ontvangstbewijs; kijk later in ontvangst/.",
        "{name}: delivered, but there is no receipt yet; look in ontvangst/ later.",
    ),
    "receipt": (
        "{name}: geleverd, en de handtekening onder het ontvangstbewijs klopt.",
        "{name}: delivered, and the receipt's signature is right.",
    ),
    "sample": ("Geschreven in {folder}:", "Written to {folder}:"),
}
_STYLE = {Level.DROP: "bold red", Level.ROW: "red", Level.WARNING: "yellow"}


def said(what: str, language: Language, **words: Any) -> str:
    """A text of this program; counts are written as the language does."""
    written = {name: counted(word, language) if isinstance(word, int) else word for name, word in words.items()}
    return _SAID[what][language is Language.EN].format(**written)


def counted(number: int, language: Language) -> str:
    return f"{number:,}" if language is Language.EN else f"{number:,}".replace(",", ".")


def tell_verdicts(verdicts: Sequence[Verdict], language: Language) -> None:
    """Of each file whether it is fit, and a table of what is wrong with it, rule by rule."""
    console = wide_console()
    for verdict in verdicts:
        outcome = said("refused" if verdict.refused else "fit", language)
        style = "bold red" if verdict.refused else "bold green"
        console.print(f"[bold]{escape(verdict.path.name)}[/bold] ({verdict.format}): [{style}]{outcome}[/{style}]", highlight=False)
        counts = "counts" if "pupils" in verdict.counts else "counts-of-rows"
        console.print("  " + said(counts, language, **verdict.counts), highlight=False)
        if verdict.findings:
            console.print(_table(verdict, language))
    if len(verdicts) > 1:
        refused = sum(verdict.refused for verdict in verdicts)
        console.print(said("summary", language, files=len(verdicts), fit=len(verdicts) - refused, refused=refused), highlight=False)


def _table(verdict: Verdict, language: Language) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=True)
    table.add_column(said("finding", language), no_wrap=True)
    table.add_column(said("count", language), justify="right")
    table.add_column(said("where", language), overflow="fold")
    table.add_column(said("what", language), overflow="fold")
    for broken in verdict.broken:
        level = CATALOGUE[broken.rule].level
        table.add_row(
            f"[{_STYLE[level]}]{broken.rule}[/]\n[dim]{said(level, language)}[/dim]",
            counted(broken.count, language),
            escape("\n".join(_places(verdict, broken, language))),
            escape(_what(verdict, broken, language)),
        )
    return table


def _places(verdict: Verdict, broken: Broken, language: Language) -> list[str]:
    """The first places of a rule, with what stands there when the values were asked for."""
    places: list[str] = []
    for index, told in enumerate(verdict.findings):
        if told.rule == broken.rule and len(places) < FIRST_ROWS and (place := _place(told, language)):
            places.append(f"{place}: {printable(verdict.values[index])}" if index in verdict.values else place)
    return [*places, "…"] if len(places) < broken.count and len(places) == FIRST_ROWS else places


def _place(told: Finding, language: Language) -> str:
    row = told.place or (said("in-row", language, row=str(told.row)) if told.row is not None else "")
    column = said("in-column", language, column=told.column) if told.column is not None else ""
    return ", ".join(part for part in (row, column) if part)


def printable(value: str) -> str:
    """A value of a file in quotes; what a terminal could take for a command is spelt out."""
    return '"' + "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in value) + '"'


def _what(verdict: Verdict, broken: Broken, language: Language) -> str:
    """What the findings of a rule say, each text once, and the cure."""
    texts = dict.fromkeys(_message(told, language) for told in verdict.findings if told.rule == broken.rule)
    return "\n".join([*list(texts)[:FIRST_ROWS], said("cure", language, cure=CATALOGUE[broken.rule].cure)])


def _message(told: Finding, language: Language) -> str:
    message = told.english if language is Language.EN else told.message
    return message.removeprefix(f"{told.place}: ") if told.place else message


def tell_sent(name: str, receipt: dict[str, Any] | None, waited: bool, language: Language) -> None:
    """One file that was delivered, and its receipt, which is Dutch."""
    if receipt is None:
        typer.echo(said("no-receipt" if waited else "delivered", language, name=name), err=True)
    else:
        typer.echo(said("receipt", language, name=name), err=True)
        typer.echo(dutch(receipt))
