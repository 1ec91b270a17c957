"""What an erasure certificate states, and the same in Dutch for a person. Pure: a signed document in, text out.

The document's sentences are English, and signed as they stand; each has its Dutch here, next to it. A sentence that is not known here
(another version wrote it) is shown as it was signed.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from audit import certificate, document
from audit.checkpoint import peek
from audit.entry import Entry
from audit.proof import Inclusion
from policies.calendar import AMSTERDAM

#: what is done to see that a drop's data is gone
VERIFICATION: Final = (
    "The key's file was overwritten with zeros, and that was synchronised to disk, before its name was removed.",
    "The drop key's file and the encrypted file were looked for after removal and not found.",
    "The folder was synchronised to disk after each removal.",
    "The intent was recorded before and the outcome after; both stand in the audit log. Only at the end of the window a key ends also when "
    "the intent can't be recorded first.",
)

#: and of the key of its day, once that has ended too
VERIFICATION_OF_EPOCH: Final = "The key of the day ended in the same way: overwritten, removed, looked for and not found."

#: what the erasure does not reach
NOTES: Final = (
    "While the file arrived its key was in the memory of the receiving process, or in its runtime folder while the upload was interrupted; "
    "that process removes it there when the delivery is complete, or at its next start.",
    "A medium may keep older blocks of an overwritten file (flash, snapshots). What it may keep of the drop's key is sealed to the key of "
    "the day.",
    "Copies that somebody made before the erasure are not reached by it.",
)

#: of a day's key that nobody destroyed and nobody has
EPOCH_LOST: Final = (
    "The key of the day was not destroyed by this gateway: it was lost with a machine, and is not in the backup from which this gateway "
    "was restored. What became of the disks of that machine is not known here."
)

#: who may have erased, by the actor of the log's entry
SANITISED_BY: Final = {
    "worker": "Sluis worker (automatic)",
    "retention": "Sluis, at the end of the retention window (automatic)",
    "administrator": "Sluis, on an administrator's order",
}

_DUTCH: Final[Mapping[str, str]] = {
    certificate.METHOD: "Cryptografisch wissen van één bestand: het is alleen versleuteld bewaard, onder een eigen sleutel. Het "
    "bestand met die sleutel, zelf verzegeld met de sleutel van de dag, is overschreven en verwijderd; daarna is het versleutelde "
    "bestand verwijderd.",
    VERIFICATION[
        0
    ]: "Het bestand met de sleutel is met nullen overschreven en zo naar de schijf geschreven, voordat de naam werd verwijderd.",
    VERIFICATION[
        1
    ]: "Na het verwijderen is naar het bestand met de leveringssleutel en naar het versleutelde bestand gezocht; geen van beide was er.",
    VERIFICATION[2]: "Na elke verwijdering is de map naar de schijf geschreven.",
    VERIFICATION[
        3
    ]: "Het voornemen is vooraf vastgelegd en de uitkomst achteraf; beide staan in het auditlogboek. Alleen aan het einde van "
    "de bewaartermijn eindigt een sleutel ook als het voornemen niet eerst kan worden vastgelegd.",
    VERIFICATION_OF_EPOCH: "De dagsleutel is op dezelfde manier geëindigd: overschreven, verwijderd, gezocht en niet gevonden.",
    NOTES[
        0
    ]: "Tijdens de ontvangst was de sleutel in het geheugen van het ontvangende proces, of bij een onderbroken upload in zijn tijdelijke "
    "map. Dat proces verwijdert hem daar als de levering compleet is, of anders bij zijn volgende start.",
    NOTES[
        1
    ]: "Een medium kan oude blokken van een overschreven bestand bewaren (flash, snapshots). Wat het van de leveringssleutel bewaart, is "
    "verzegeld met de dagsleutel.",
    NOTES[2]: "Kopieën die iemand vóór het wissen heeft gemaakt, worden er niet door bereikt.",
    EPOCH_LOST: "De dagsleutel is niet door deze gateway vernietigd: hij ging met een machine verloren, en zit niet in de back-up waaruit "
    "deze gateway is hersteld. Wat er met de schijven van die machine is gebeurd, is hier niet bekend.",
    SANITISED_BY["worker"]: "Sluis, verwerkend proces (automatisch)",
    SANITISED_BY["retention"]: "Sluis, aan het eind van de bewaartermijn (automatisch)",
    SANITISED_BY["administrator"]: "Sluis, in opdracht van een beheerder",
    certificate.NO_MEDIUM: "niet van toepassing: één bestand is gewist, geen medium",
    certificate.MEDIA: "bestandssysteem van de server van de gateway",
    certificate.METHOD_TYPE: "Cryptographic Erase van één bestand; zegt niets over het medium als geheel",
    certificate.BEFORE: "persoonsgegevens van leerlingen, versleuteld",
    certificate.DESTINATION: "het medium blijft in gebruik",
    certificate.LOCATION: "de server van de gateway",
    certificate.BACKUP: "de gateway zet deze sleutels in geen enkele back-up; wat een back-up van het bestand "
    "bevat, is zonder hen niet te ontsleutelen",
    certificate.SIGNATURE: "digitaal, zie onderaan",
}

_REASON: Final = {
    "linked": "gekoppeld; de resultaten worden onder fictieve nummers bewaard",
    "expired": "vervallen: niets ervan wordt gebruikt; het ontvangstbewijs zegt waarom",
    "rejected": "geweigerd bij de controle; niets ervan is gebruikt",
    "withdrawn": "ingetrokken; niets ervan telt mee",
    "registered": "bezwaarregister of intrekking, verwerkt",
}

_KEY: Final = {"drop": "Leveringssleutel", "epoch": "Dagsleutel"}


def statements(epoch_ended: bool) -> tuple[str, ...]:
    """What the worker did to verify an erasure, as it signs it."""
    return (*VERIFICATION, VERIFICATION_OF_EPOCH) if epoch_ended else VERIFICATION


def certificate_name(drop_id: str, ending: str = "json") -> str:
    """How a vendor finds it in `ontvangst/`."""
    return f"{drop_id}.certificaat.{ending}"


def dutch(found: Mapping[str, Any]) -> dict[str, Any]:
    """A signed certificate (`sluis-erasure-certificate-1`) as the Dutch texts of its page, section by section.

    `found` must be whole, as `audit.certificate.certificate` makes it. Raises Unsound when its proof can't be read.
    """
    drop, log = found["drop"], found["log"]
    proof = Inclusion.parse(log["proof"])
    checkpoint = peek(proof.checkpoint, log["origin"])
    entry = Entry.from_bytes(log["entry"].encode())
    return {
        "drop": drop,
        "vendor": found["vendor"],
        "organisation": found["nist_sp_800_88"]["organisation"],
        "summary": _summary(found),
        "received": [
            ["Levering", drop],
            ["Leverancier", found["vendor"]],
            ["Bestandsnaam", f"zie het ontvangstbewijs {drop}.txt"],
            ["Omvang", f"{found['bytes']:,} bytes".replace(",", ".")],
            ["Afloop", _REASON.get(found["reason"], found["reason"])],
        ],
        "sha256": found["sha256"] or "niet bewaard: het bestand was niet versleuteld",
        "times": [
            [name, _local(_time(at)), _utc(at)] if at else [name, "niet gebeurd", "–"]
            for name, at in (
                ("Ontvangen", found["received_at"]),
                ("Gekoppeld", found["linked_at"]),
                ("Gewist", found["erased_at"]),
                ("Uiterlijk te wissen", found["erase_before"]),
            )
        ],
        "margin": _margin(_time(found["erase_before"]) - _time(found["erased_at"])),
        "keys": [_key(key) for key in found["keys"]],
        "method": _said(found["method"]),
        "verification": [_said(sentence) for sentence in found["verification"]],
        "notes": [_said(sentence) for sentence in found["nist_sp_800_88"]["notes"]],
        "nist": _nist(found),
        "log": [
            ["Naam van het logboek", log["origin"]],
            ["Vermelding", f"nummer {log['index']} van {checkpoint.size}, geteld vanaf 0"],
            ["Inhoud", f"{entry.action}, door {entry.actor}, {_local(entry.time)}"],
        ],
        "root": base64.b64encode(checkpoint.root).decode(),
        "proof": log["proof"].rstrip("\n"),
        "signatures": list(found[document.MEMBER]),
        "file": certificate_name(drop),
    }


def _summary(found: Mapping[str, Any]) -> str:
    gone = (
        f"De gegevens van deze levering zijn gewist op {_local(_time(found['erased_at']))}: de sleutel waaronder zij bewaard werden, "
        "bestaat niet meer."
    )
    living = _living(found["keys"])
    if not living:
        return (
            f"{gone} Ook de dagsleutel is vernietigd: wat er ergens van over mocht zijn, kan met geen enkele overgebleven sleutel "
            "worden ontsleuteld."
        )
    if not _until(living):
        return f"{gone} De dagsleutel is niet aantoonbaar vernietigd: wie eerder een kopie van de sleutelopslag maakte, kan die nog openen."
    return (
        f"{gone} De dagsleutel is nog nodig voor andere leveringen van die dag{_until(living)}. Wie vóór het wissen een kopie van de "
        "sleutelopslag maakte, kan die kopie zolang nog openen. Als de dagsleutel is vernietigd, vervangt een nieuw certificaat dit."
    )


def _nist(found: Mapping[str, Any]) -> list[list[str]]:
    """NIST SP 800-88 revision 1, section 4.8: its fields in its order, by their Dutch names."""
    nist = found["nist_sp_800_88"]
    said = {name: _said(value) for name, value in nist.items() if isinstance(value, str)}
    living = _living(found["keys"])
    after = "geen: wat ervan over is, is met geen enkele overgebleven sleutel te openen"
    if living:
        after = f"geen op de gateway; een eerdere kopie van de sleutelopslag is te openen met de sleutels die nog bestaan{_until(living)}"
    return [
        ["Fabrikant, model, serienummer", "; ".join(dict.fromkeys(said[name] for name in ("manufacturer", "model", "serial_number")))],
        ["Soort medium", said["media_type"]],
        ["Kenmerk", f"bestand van levering {found['drop']}"],
        ["Herkomst", f"geleverd door {found['vendor']}"],
        ["Vertrouwelijkheid vooraf", said["confidentiality_before"]],
        ["Soort bewerking", said["method_type"]],
        ["Methode", "zie „Hoe het is gewist en nagegaan”"],
        ["Hulpmiddel en versie", said["tool_used"]],
        ["Verificatie", "volledig; zie „Hoe het is gewist en nagegaan”"],
        ["Vertrouwelijkheid achteraf", after],
        ["Bestemming", said["destination"]],
        ["Uitgevoerd door", f"{said['sanitised_by']}, {_local(_time(nist['sanitised_at']))}"],
        ["Geverifieerd door", f"{said['verified_by']}, {_local(_time(nist['verified_at']))}"],
        ["Organisatie", _said(", ".join(filter(None, (nist["organisation"], nist["address"]))))],
        ["Contact", said["contact"]],
        ["Plaats", said["location"]],
        ["Handtekening", said["signature"]],
        ["Back-up van de gegevens", said["data_backup"]],
    ]


def _key(key: Mapping[str, Any]) -> list[str]:
    ended = _both(key["destroyed_at"]) if key["destroyed_at"] else f"bestaat nog{_until([key])}" if key["until"] else "niet aantoonbaar"
    return [_KEY.get(key["kind"], key["kind"]), key["name"], key["algorithm"], ended]


def _living(keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [key for key in keys if key["destroyed_at"] is None]


def _until(living: Sequence[Mapping[str, Any]]) -> str:
    ends = [_time(key["until"]) for key in living if key["until"]]
    return f", uiterlijk tot {_local(max(ends))}" if ends else ""


def _said(sentence: str) -> str:
    return _DUTCH.get(sentence, sentence) or "niet opgegeven"


def _margin(left: timedelta) -> str:
    if left < timedelta(0):
        return "Dit is na de uiterste datum."
    days = "minder dan een dag" if left.days == 0 else "1 dag" if left.days == 1 else f"{left.days} dagen"
    return f"Dit is op tijd: {days} vóór de uiterste datum."


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _local(moment: datetime) -> str:
    return moment.astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M:%S")


def _utc(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z")


def _both(text: str) -> str:
    return f"{_local(_time(text))} ({_utc(text)} UTC)"
