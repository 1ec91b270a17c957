"""The rules on which delivery counts: results that come twice, and deliveries that are taken back."""

from gateway.checks.rule import Level, Rule

COUNTING_RULES = (
    Rule(
        "unknown-delivery",
        Level.DROP,
        "U hebt geen levering van deze naam. Er is niets ingetrokken.",
        "You have no delivery of this name. Nothing was withdrawn.",
        "De naam is verkeerd overgenomen, of is die van een bestand en niet van een levering.",
        "Neem `drop` over uit het ontvangstbewijs van de levering, en lever de intrekking opnieuw onder een nieuwe naam.",
    ),
    Rule(
        "too-many-withdrawals",
        Level.DROP,
        "De intrekking noemt meer dan {limit} leveringen. Er is niets ingetrokken.",
        "The withdrawal names more than {limit} deliveries. Nothing was withdrawn.",
        "Het bestand is geen intrekking, of is per vergissing veel groter geworden.",
        "Verdeel de intrekking over meer bestanden.",
    ),
    Rule(
        "nothing-to-withdraw",
        Level.WARNING,
        "Van deze levering valt niets in te trekken: zij was al ingetrokken, geweigerd of vervallen, of bevatte geen resultaten.",
        "Nothing of this delivery can be withdrawn: it was withdrawn, refused or expired before, or held no results.",
        "De levering telde al niet mee.",
        "U hoeft niets te doen.",
    ),
    Rule(
        "repeated-results",
        Level.WARNING,
        "{count} resultaten staan nog eens in het bestand, met dezelfde score (zelfde leerling, school, toets en dag). Elk telt één keer.",
        "{count} results stand in the file once more, with the same score (same pupil, school, test and date). They count once.",
        "De export schrijft een resultaat dubbel, bijvoorbeeld omdat een leerling twee keer in de selectie staat.",
        "Controleer de selectie van de export.",
    ),
    Rule(
        "contradictory-results",
        Level.WARNING,
        "{count} resultaten staan nog eens in het bestand, met een andere score (zelfde leerling, school, toets en datum). Van elk telt de "
        "laatste rij van het bestand.",
        "{count} results stand in the file once more, with another score (same pupil, school, test and date). Of each the last row of the "
        "file counts.",
        "De export bevat naast een verbeterde score ook de oude, of geeft verschillende toetsen dezelfde code.",
        "Ga na welke score juist is. Is dat niet die van de laatste rij, lever de leerlingen dan opnieuw met alleen de juiste score.",
    ),
)
