"""A receipt (`sluis-receipt-1`): what became of a drop, without a value out of it. Pure: facts in, document and Dutch text out.

It is signed as every document is (audit.document): the tools that check the log check receipts too.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.drop.remarks import WITHDRAWALS, WITHDRAWN

SCHEMA = "sluis-receipt-1"
COUNTS = ("rows", "pupils", "schools", "accepted_rows", "refused_rows", "objected_pupils")
#: Dutch law keeps time in Amsterdam; receipts' texts do too, the document keeps UTC
AMSTERDAM = ZoneInfo("Europe/Amsterdam")

#: what a receipt calls a state that the contract has no word for
STATES = {"registered": "accepted", "withdrawn": "expired"}

_WHAT = {
    "received": "Wij hebben uw bestand ontvangen. Het wordt nu gecontroleerd.",
    "incomplete": "Uw bestand is niet compleet aangekomen. Lever het hele bestand opnieuw aan onder dezelfde naam.",
    "rejected": "Wij hebben uw levering geweigerd. Verbeter wat hieronder staat en lever opnieuw aan onder een nieuwe naam.",
    "accepted": "Uw levering is goedgekeurd en wacht op koppeling.",
    "linked": "Uw levering is gekoppeld. De identificerende gegevens worden direct gewist.",
    "expired": "Deze levering is niet gekoppeld, en haar gegevens worden gewist. Onder Bevindingen staat waarom, en wat u nu kunt doen.",
}
_WITHDRAWN = "Deze levering is ingetrokken: niets ervan telt mee, en haar gegevens worden gewist."
_WITHDRAWALS = "Uw intrekking is verwerkt. Onder Bevindingen staat hoeveel leveringen zijn ingetrokken."
_REGISTERED = "Uw bezwaarregister is verwerkt. Wat wij ervan bewaren kan alleen met onze sleutel vergeleken worden."

_WAITING = {
    "objection-window": "de bezwaartermijn loopt nog",
    "objection-register": "nog geen bezwaarregister ontvangen van school",
    "person-register": "het persoonsregister is nog niet beschikbaar",
}

#: a notice of a delivery whose data or results were lost with the machine: said by `sluis restore`
RESTORED = "restored"

#: what there is to say of a delivery although nothing is wrong with it: said by the intake, as findings without a row
NOTICES = {
    RESTORED: "Wij hebben ons systeem na een storing hersteld uit een reservekopie. Wat wij van deze levering hadden is daarbij verloren "
    "gegaan: lever haar opnieuw aan onder een nieuwe naam.",
    "limit-file-bytes": "Dit bestand heeft 80 % of meer van de grootte die is toegestaan; splits de volgende levering zo nodig.",
    "limit-day-files": "U hebt vandaag (UTC) 80 % of meer van het toegestane aantal bestanden geleverd.",
    "limit-day-bytes": "U hebt vandaag (UTC) 80 % of meer van de toegestane hoeveelheid geleverd.",
    "limit-store-files": "Wij bewaren van u 80 % of meer van het toegestane aantal bestanden; er komt ruimte als leveringen gewist zijn.",
    "limit-store-bytes": "Wij bewaren van u 80 % of meer van de toegestane hoeveelheid; er komt ruimte als leveringen gewist zijn.",
}


def instant(moment: datetime | None) -> str | None:
    """A point in time as receipts write it: RFC 3339, UTC, whole seconds."""
    return None if moment is None else moment.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


def compose(
    *,
    drop: str,
    folder: str,
    file: str,
    sha256: str,
    bytes: int,
    received_at: datetime,
    state: str,
    campaign: str | None,
    counts: Mapping[str, int],
    findings: Sequence[Mapping[str, Any]],
    findings_total: int,
    request: str = "",
    notices: Sequence[str] = (),
    remarks: Sequence[Mapping[str, Any]] = (),
    waiting_for: Sequence[str],
    objection_register: Mapping[str, int | None],
    erase_before: datetime,
    linked_at: datetime | None,
    erased_at: datetime | None,
    certificate: str | None,
) -> dict[str, Any]:
    """The document, unsigned. Fields as the contract lists them; `waiting_for` says why an accepted drop is not linked yet, or was not when
    its window ended, `request` names the upload in the gateway's log, and `remarks` (gateway.drop.remarks) and `notices` (keys of NOTICES)
    come first among the findings."""
    noticed = [*map(dict, remarks), *({"row": None, "column": None, "rule": code, "message": NOTICES[code]} for code in notices)]
    return {
        "schema": SCHEMA,
        "drop": drop,
        "folder": folder,
        "file": file,
        "request": request,
        "sha256": sha256,
        "bytes": bytes,
        "received_at": instant(received_at),
        "state": STATES.get(state, state),
        "campaign": campaign,
        "counts": {name: counts.get(name, 0) for name in COUNTS},
        "findings": [*noticed, *(dict(finding) for finding in findings)],
        "findings_total": findings_total + len(noticed),
        "waiting_for": list(waiting_for),
        "objection_register": dict(objection_register),
        "erase_before": instant(erase_before),
        "linked_at": instant(linked_at),
        "erased_at": instant(erased_at),
        "certificate": certificate,
    }


def _what(document: Mapping[str, Any]) -> str:
    said = {finding["rule"] for finding in document["findings"]}
    if WITHDRAWN in said:
        return _WITHDRAWN
    if WITHDRAWALS in said:
        return _WITHDRAWALS
    if document["folder"] == "bezwaren" and document["state"] == "accepted":
        return _REGISTERED
    return _WHAT[document["state"]]


def dutch(document: Mapping[str, Any]) -> str:
    """The same receipt for a person."""

    def day(name: str) -> str:
        value = document[name]
        if value is None:
            return "nog niet"
        return datetime.fromisoformat(value).astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M")

    counts = document["counts"]
    lines = [
        "ONTVANGSTBEWIJS",
        "",
        f"Bestand        {document['file'] or 'onbekend: de naam ging verloren'}",
        f"Levering       {document['drop']}" + (f" (aanvraag {document['request']})" if document["request"] else ""),
        f"Ontvangen      {day('received_at')} ({document['bytes']} bytes)",
        f"SHA-256        {document['sha256'] or 'niet bewaard: het bestand was niet versleuteld'}",
        f"Campagne       {document['campaign'] or 'onbekend'}",
        "",
        _what(document),
    ]
    for reason in document["waiting_for"] if document["state"] != "expired" else ():
        kind, _, school = reason.partition(" ")
        lines.append(f"  Wacht: {_WAITING.get(kind, kind)}{' ' + school if school else ''}.")
    lines += [
        "",
        f"Rijen          {counts['rows']} (goed {counts['accepted_rows']}, geweigerd {counts['refused_rows']})",
        f"Leerlingen     {counts['pupils']} van {counts['schools']} scholen",
        f"Met bezwaar    {counts['objected_pupils']} leerlingen, hun rijen zijn niet gebruikt",
        "",
        f"Gekoppeld      {day('linked_at')}",
        f"Gewist         {day('erased_at')} (uiterlijk {day('erase_before')})",
    ]
    if document["certificate"]:
        lines.append(f"Certificaat    {document['certificate']}")
    if document["findings"]:
        shown = len(document["findings"])
        lines += [
            "",
            f"Bevindingen: {document['findings_total']}" + (f", de eerste {shown}:" if shown < document["findings_total"] else ":"),
        ]
        for finding in document["findings"]:
            row, column = finding["row"], finding["column"]
            place = ", ".join(part for part in (f"rij {row}" if row else "", f"kolom {column}" if column else "") if part)
            lines.append(f"  {finding['rule']}{f' ({place})' if place else ''}: {finding['message']}")
    return "\n".join([*lines, ""])
