"""How figures are said in Dutch: numbers, names, sentences, and the text that stands for a picture."""

from collections.abc import Sequence
from datetime import date

from gateway.reports.cells import GROUP_S, WITHIN_YEAR, Instrument
from gateway.reports.school import Domain, Figure, Period

DOMAINS = {
    "begrijpend_lezen": "Begrijpend lezen",
    "rekenen_wiskunde": "Rekenen-wiskunde",
    "spelling": "Spelling",
    "technisch_lezen": "Technisch lezen",
    "taalverzorging": "Taalverzorging",
}
PUBLISHERS = {"cito": "Cito", "iep": "IEP", "boom": "Boom", "diataal": "Diataal"}
MONTHS = (
    "januari", "februari", "maart", "april", "mei", "juni",
    "juli", "augustus", "september", "oktober", "november", "december",
)  # fmt: skip

#: Stands for what is not shown and for what does not exist.
NOTHING = "–"

#: By Domain.compared.
COMPARED = {
    -1: "lager dan het landelijk gemiddelde",
    0: "ongeveer gelijk aan het landelijk gemiddelde",
    1: "hoger dan het landelijk gemiddelde",
}
COMPARED_SHORT = {-1: "lager", 0: "ongeveer gelijk", 1: "hoger"}


def day(value: date) -> str:
    """As 3 juli 2026."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def number(value: float | None, decimals: int = 1) -> str:
    """With a decimal comma and a real minus sign."""
    if value is None:
        return NOTHING
    return f"{value:.{decimals}f}".replace(".", ",").replace("-", "−")


def signed(value: float | None, decimals: int = 1) -> str:
    return "+" + number(value, decimals) if value is not None and value > 0 else number(value, decimals)


def whole(value: int | None) -> str:
    """With a dot between thousands."""
    return NOTHING if value is None else f"{value:,}".replace(",", ".")


def percentage(value: int | None) -> str:
    return NOTHING if value is None else f"{value}%"


def domain_name(domain: str) -> str:
    return DOMAINS.get(domain, domain.replace("_", " ").capitalize())


def instrument_name(instrument: Instrument) -> str:
    publisher = PUBLISHERS.get(instrument.publisher, instrument.publisher.capitalize())
    return f"{publisher}, schaal {instrument.scale}" if instrument.scale else publisher


def group_name(group: int, period: int) -> str:
    """`5` within a year, `5–6` over the summer; S is sbo's own."""
    name = "S" if group == GROUP_S else str(group)
    if period == WITHIN_YEAR or group == GROUP_S:
        return name
    return f"{name}–{group + 1}"


def period_title(period: int) -> str:
    if period == WITHIN_YEAR:
        return "Van midden naar eind van het schooljaar (M–E)"
    return "Van eind van het schooljaar naar midden van het volgende (E–M)"


def period_short(period: int) -> str:
    return "M–E" if period == WITHIN_YEAR else "E–M"


def short_year(cohort: str) -> str:
    """2025-2026 as '25/'26."""
    first, second = cohort.split("-")
    return f"’{first[2:]}/’{second[2:]}"


def verdict(domain: Domain) -> str:
    """How a domain compares with the country, for a table."""
    return "geen vergelijking getoond" if domain.compared is None else COMPARED[domain.compared]


def lead(domain: Domain, newest: Sequence[Figure]) -> str:
    """What a domain's page says first."""
    if domain.compared is None:
        return "Een vergelijking met het land is bij dit domein niet getoond."
    said = f"Gemiddeld over de groepen was de groei {COMPARED[domain.compared]}."
    return f"{said} {against_reference(newest)}".strip()


def against_reference(figures: Sequence[Figure]) -> str:
    """In how many of the newest figures the school grew more than predicted: counted in what is shown, so it shows nothing more."""
    known = [(figure.growth, figure.reference) for figure in figures if figure.reference is not None]
    if not known:
        return ""
    more = sum(growth > reference for growth, reference in known)
    if len(known) == 1:
        said = ("niet meer", "meer")[more]
        return f"In de enige vergelijking groeiden de leerlingen {said} dan voorspeld."
    count = "geen" if more == 0 else "elk" if more == len(known) else str(more)
    return f"In {count} van de {len(known)} nieuwste vergelijkingen groeiden de leerlingen meer dan voorspeld."


def chart_alternative(title: str, period: Period) -> str:
    """All that a chart shows, in words."""
    parts = []
    for row in period.rows:
        for cohort, figure in zip(period.cohorts, row.figures, strict=True):
            if figure is not None:
                parts.append(f"groep {group_name(row.group, period.period)}, {cohort}: {_spoken(figure)}")
    return f"Staafdiagram {title}: gemiddelde groei in punten van de toets. " + "; ".join(parts) + "."


def _spoken(figure: Figure) -> str:
    said = f"eigen school {number(figure.growth)} (n = {figure.n})"
    if figure.national is not None:
        said += f", landelijk {number(figure.national)} (n = {whole(figure.national_n)})"
    if figure.reference is not None:
        said += f", voorspelde referentiewaarde {number(figure.reference)}"
    return said


def strip_alternative(name: str, marks: Sequence[tuple[str, float]]) -> str:
    said = "; ".join(f"groep {label}: {signed(value)}" for label, value in marks)
    return f"Gestandaardiseerde groei voor {name.lower()}, waarbij 0 het landelijk gemiddelde is. {said}."
