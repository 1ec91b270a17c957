"""What a receipt says of a drop's end and of what came of it, beside the findings of the checks. Of the window's end: before it, what is
still to be done; after it, why, and what to do next. Of results: which other delivery's count. Pure, Dutch.

They stand among the findings, first and without a row, so that a program that shows findings shows these too.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from policies.calendar import AMSTERDAM

#: a receipt names so many schools or deliveries, and counts the others
MOST_SCHOOLS = MOST_DROPS = 10

_REGISTER = "objection-register"
_IN_VAIN = {
    "objection-window": "de bezwaartermijn liep nog",
    "person-register": "het persoonsregister was er nog niet",
}
#: what a drop was when its window ended → why it was not linked
_WAS = {
    "received": "zij was nog niet gecontroleerd; dat lag aan ons",
    "incomplete": "zij was niet compleet aangekomen, en is niet opnieuw geleverd",
    "accepted": "zij was goedgekeurd en nog niet gekoppeld",
}

#: what tells that a drop was taken back, and that it took others back
WITHDRAWN, WITHDRAWALS = "withdrawn", "withdrawals"

Remark = dict[str, Any]


def window_near(erase_before: datetime, waiting_for: Sequence[str], incomplete: bool) -> list[Remark]:
    """A remark while there is something that the vendor or a school can do in time; otherwise none."""
    schools = _schools(waiting_for)
    if incomplete:
        todo = "Uw bestand kwam niet compleet aan: lever het hele bestand voor die tijd opnieuw aan onder dezelfde naam."
    elif schools:
        todo = f"Zij wacht op het bezwaarregister van {_names(schools)}: laat het voor die tijd inleveren, ook als er geen bezwaren zijn."
    else:
        return []
    return [
        _remark(
            "window-near",
            f"De bewaartermijn van deze levering eindigt op {_moment(erase_before)}. Dan wordt zij gewist, gekoppeld of niet. {todo}",
        )
    ]


def window_ended(
    erase_before: datetime, was: str, waiting_for: Sequence[str], campaign: str | None, deliver_until: date | None, contact: str
) -> list[Remark]:
    """Why a drop was ended by its window, and what to do: deliver it anew, while its campaign takes deliveries."""
    reasons = [_IN_VAIN[reason] for reason in waiting_for if reason in _IN_VAIN]
    schools = _schools(waiting_for)
    if schools:
        reasons.append(f"het bezwaarregister van {_names(schools)} ontbrak nog")
    because = " en ".join(reasons) or _WAS.get(was, "zij was nog niet gekoppeld")
    todo = _deliver_anew(campaign, deliver_until) + (" Laat eerst het bezwaarregister inleveren." if schools else "")
    text = f"De bewaartermijn eindigde op {_moment(erase_before)} voordat deze levering gekoppeld was: {because}. {todo} Vragen: {contact}."
    return [_remark("window-ended", text)]


def ended_on_request(campaign: str | None, deliver_until: date | None, contact: str) -> list[Remark]:
    """Of a drop that an administrator had erased before it was linked."""
    return [
        _remark(
            "erased-on-request",
            f"De beheerder heeft deze levering laten wissen. {_deliver_anew(campaign, deliver_until)} Vragen: {contact}.",
        )
    ]


def delivered_anew() -> list[Remark]:
    """Of an incomplete drop whose vendor sent the whole file under the same name."""
    return [_remark("delivered-anew", "U hebt dit bestand opnieuw geleverd onder dezelfde naam: die levering telt. U hoeft niets te doen.")]


def withdrawn(by: str, reason: str, was_linked: bool, campaign: str | None, deliver_until: date | None, contact: str) -> list[Remark]:
    """Of a drop that was taken back: by the drop `by` of its vendor, or when that is empty by an administrator."""
    mine, theirs = f"U hebt deze levering ingetrokken met levering {by} (reden: {reason}).", "De beheerder heeft deze levering ingetrokken."
    gone = "Haar resultaten zijn verwijderd. Wat zij verving, geldt weer." if was_linked else "Zij wordt niet gekoppeld."
    anew = "" if by else f" {_deliver_anew(campaign, deliver_until)} Vragen: {contact}."
    return [_remark(WITHDRAWN, f"{mine if by else theirs} {gone}{anew}")]


def withdrawals(count: int) -> list[Remark]:
    """Of a drop that took others back."""
    what = "1 levering is" if count == 1 else f"{count} leveringen zijn"
    return [_remark(WITHDRAWALS, f"{what} ingetrokken. Het ontvangstbewijs van elk daarvan zegt dat ook.")]


def replaced(drop: str, pairs: Sequence[tuple[str, str, int]]) -> list[Remark]:
    """What this drop's results replace and what replaces them; `pairs`: the later drop, the earlier one, and the rows of that."""
    mine = [f"{_results(rows, 'vervangt dat', 'vervangen die')} van levering {earlier}" for later, earlier, rows in pairs if later == drop]
    lost = [f"{_results(rows, 'is', 'zijn')} vervangen door levering {later}" for later, earlier, rows in pairs if earlier == drop]
    return [_remark(code, _listed(told)) for code, told in (("replaces", mine), ("replaced", lost)) if told]


def _results(rows: int, one: str, more: str) -> str:
    return f"1 resultaat {one}" if rows == 1 else f"{rows} resultaten {more}"


def _listed(told: Sequence[str]) -> str:
    more = len(told) - MOST_DROPS
    return "; ".join(told[:MOST_DROPS]) + (f"; en zo nog van {more} leveringen." if more > 0 else ".")


def _deliver_anew(campaign: str | None, deliver_until: date | None) -> str:
    if campaign is None or deliver_until is None:
        return "Lever haar opnieuw aan onder een nieuwe naam, als de leveringsronde nog loopt."
    return (
        f"Tot en met {deliver_until:%d-%m-%Y} kunt u voor {campaign} leveren: lever haar dan opnieuw aan onder een nieuwe naam. "
        "Is die dag voorbij, neem dan contact met ons op."
    )


def _schools(waiting_for: Sequence[str]) -> list[str]:
    return [school for kind, _, school in (reason.partition(" ") for reason in waiting_for) if kind == _REGISTER]


def _names(schools: Sequence[str]) -> str:
    more = len(schools) - MOST_SCHOOLS
    return ", ".join(schools[:MOST_SCHOOLS]) + (f" en nog {more} scholen" if more > 0 else "")


def _moment(moment: datetime) -> str:
    return moment.astimezone(AMSTERDAM).strftime("%d-%m-%Y %H:%M")


def _remark(code: str, message: str) -> Remark:
    return {"row": None, "column": None, "rule": code, "message": message}
