"""How pages are made: Dutch first, English one click away; and how sizes, days and moments are written."""

import hashlib
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse

from gateway.portal.rights import Rights
from gateway.store.models import PortalSession
from policies.calendar import AMSTERDAM

LANGUAGES = ("nl", "en")
LANGUAGE_COOKIE = "__Host-taal"
#: How long a browser remembers the language [s]
LANGUAGE_SECONDS = 365 * 86_400

_MONTHS = {
    "nl": ("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
}


@cache
def style_sheet() -> bytes:
    return resources.files("gateway.portal").joinpath("static/style.css").read_bytes()


@cache
def style_path() -> str:
    """The style sheet's address changes with its content, so that browsers may keep it for ever."""
    return f"/stijl-{hashlib.sha256(style_sheet()).hexdigest()[:12]}.css"


@cache
def font(name: str) -> bytes:
    return resources.files("gateway.typeset").joinpath(f"fonts/OpenSans-{name}.ttf").read_bytes()


@cache
def mark() -> bytes:
    return resources.files("gateway.portal").joinpath("templates/mark.html").read_bytes()


def written_day(day: date, lang: str) -> str:
    """`21 november 2026`."""
    return f"{day.day} {_MONTHS[lang][day.month - 1]} {day.year}"


def written_moment(moment: datetime, lang: str) -> str:
    """`21 november 2026, 9.05 uur`: the time in Amsterdam."""
    local = moment.astimezone(AMSTERDAM)
    clock = f"{local.hour}.{local.minute:02} uur" if lang == "nl" else f"{local.hour}:{local.minute:02}"
    return f"{written_day(local.date(), lang)}, {clock}"


def written_size(size: int, lang: str) -> str:
    """`3,4 MB`: decimal units, as file managers and browsers show them."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    text = f"{amount:.0f}" if unit == "bytes" or amount >= 100 else f"{amount:.1f}"
    return f"{text.replace('.', ',') if lang == 'nl' else text}\u00a0{unit}"


def language_of(request: Request) -> str:
    """What `?lang=` asks for, else what the browser remembers, else Dutch."""
    for choice in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if choice in LANGUAGES:
            return choice
    return LANGUAGES[0]


class Pages:
    """Renders templates; every value is escaped, and a missing one is an error instead of a gap."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._environment = Environment(
            loader=PackageLoader("gateway.portal"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._environment.filters |= {
            "day": _in_language(written_day),
            "moment": _in_language(written_moment),
            "size": _in_language(written_size),
        }

    def page(self, request: Request, template: str, status: int = 200, visitor: PortalSession | None = None, **values: Any) -> HTMLResponse:
        lang = language_of(request)
        other = "en" if lang == "nl" else "nl"
        text = self._environment.get_template(f"{template}.html").render(
            lang=lang,
            t=lambda dutch, english: english if lang == "en" else dutch,
            other_language=f"?{request.url.include_query_params(lang=other).query}",
            style=style_path(),
            authority=self._rights.authority,
            contact=self._rights.contact,
            has_sample=self._rights.sample is not None,
            visitor=visitor,
            **values,
        )
        response = HTMLResponse(text, status, headers={"Content-Language": lang, "Vary": "Cookie"})
        if request.query_params.get("lang") == lang:
            response.set_cookie(LANGUAGE_COOKIE, lang, max_age=LANGUAGE_SECONDS, path="/", secure=True, httponly=True, samesite="lax")
        return response

    def message(
        self, request: Request, status: int, heading: tuple[str, str], *texts: tuple[str, str], visitor: PortalSession | None = None
    ) -> HTMLResponse:
        """A page that says one thing, in (Dutch, English)."""
        index = LANGUAGES.index(language_of(request))
        return self.page(request, "message", status, visitor, heading=heading[index], texts=[text[index] for text in texts])


def _in_language(write: Callable[[Any, str], str]) -> Callable[[Context, Any], str]:
    @pass_context
    def filtered(context: Context, value: Any) -> str:
        return write(value, context["lang"])

    return filtered
