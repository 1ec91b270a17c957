"""The portal's pages and what stands behind them. Everything a visitor gets is asked for with the board of its own session."""

import asyncio
import re
from collections.abc import Callable
from datetime import date, timedelta
from urllib.parse import parse_qs, quote, urlencode

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from gateway.portal import headers
from gateway.portal.downloads import bundle_response
from gateway.portal.login import Admitted, Doorkeeper, Expired, Later, Sessions, Wrong, basic_credentials, board_number
from gateway.portal.pages import Pages, font, mark, style_path, style_sheet
from gateway.portal.rights import Rights
from gateway.store import publication
from gateway.store.home import Home
from gateway.store.models import PortalSession
from policies.errors import NotFound

SESSION_COOKIE = "__Host-sluis"

#: A form of ours is smaller than this [bytes]
FORM_BYTES = 8 * 1024
#: What never changes under its name may be kept for a year [s]
FOR_EVER = "public, max-age=31536000, immutable"
#: RFC 9116 section 2.5.5 recommends less than a year
SECURITY_TXT_DAYS = 180

_WANTED = re.compile(r"/rapporten/(?P<board>\d{5})/(?:(?P<campaign>[^/?#]{1,200})/Rapportages\.zip)?")

log = structlog.get_logger()


def create_app(home: Home, sample: Callable[[], bytes] | None = None) -> Starlette:
    """The portal of `home`; `sample` makes the PDF behind /voorbeeld (it is called once, when first asked for)."""
    return Portal(Rights.of(home, sample)).application()


class Portal:
    """The handlers; what they need is in `rights`, and nothing else of the home is in reach."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._pages = Pages(rights)
        self._door = Doorkeeper(rights)
        self._sessions = Sessions(rights)
        self._sample: bytes | None = None
        self._sampling = asyncio.Lock()

    def application(self) -> Starlette:
        on_error: dict[int | type[Exception], ExceptionHandler] = {HTTPException: self.refused, NotFound: self.gone, Exception: self.fault}
        app = Starlette(
            routes=[
                Route("/", self.front, methods=["GET"]),
                Route("/", self.log_in, methods=["POST"]),
                Route("/uitloggen", self.log_out, methods=["POST"]),
                Route("/rapporten", self.own_page),
                Route("/rapporten/", self.own_page),
                Route("/rapporten/{board}", self.add_slash),
                Route("/rapporten/{board}/", self.board),
                Route("/rapporten/{board}/{campaign}/Rapportages.zip", self.download),
                Route("/voorbeeld", self.sample),
                Route("/toegankelijkheid", self.accessibility),
                Route("/.well-known/security.txt", self.security_txt),
                Route("/healthz", self.healthy),
                Route("/merk.svg", _fixed(mark, "image/svg+xml", "public, max-age=86400")),
                Route("/open-sans-regular.ttf", _fixed(lambda: font("Regular"), "font/ttf", FOR_EVER)),
                Route("/open-sans-semibold.ttf", _fixed(lambda: font("Semibold"), "font/ttf", FOR_EVER)),
                Route(style_path(), _fixed(style_sheet, "text/css; charset=utf-8", FOR_EVER)),
            ],
            middleware=[Middleware(headers.SecurityHeaders)],
            exception_handlers=on_error,
        )
        app.router.redirect_slashes = False  # it would answer with whatever Host it was sent
        return app

    # ------------------------------------------------------------ logging in and out

    async def front(self, request: Request) -> Response:
        wanted = _wanted(request.query_params.get("naar", ""))
        visitor = await self._visitor(request)
        if visitor is not None:
            return RedirectResponse(_landing(wanted, visitor.board), 303)
        return self._login_page(request, 200, wanted, "", "")

    async def log_in(self, request: Request) -> Response:
        if not headers.from_own_page(request, self._rights.address):
            return self._not_from_here(request)
        form = await _form(request)
        wanted, typed = _wanted(form.get("naar", "")), form.get("bestuur", "")
        admission = await self._door.admit(typed, form.get("wachtwoord", ""), _origin(request), "form")
        if not isinstance(admission, Admitted):
            shown = board_number(typed)
            return self._not_admitted(request, admission, wanted, "" if shown == "unknown" else shown)
        former = request.cookies.get(SESSION_COOKIE)
        token = await run_in_threadpool(self._sessions.open, admission.board, _origin(request), former)
        response = RedirectResponse(_landing(wanted, admission.board), 303)
        response.set_cookie(SESSION_COOKIE, token, path="/", secure=True, httponly=True, samesite="lax")
        return response

    async def log_out(self, request: Request) -> Response:
        visitor = await self._visitor(request)
        form = await _form(request)
        if visitor is not None:
            if not headers.from_own_page(request, self._rights.address) or not headers.same_token(form.get("csrf", ""), visitor.csrf):
                return self._not_from_here(request)
            await run_in_threadpool(self._sessions.close, request.cookies[SESSION_COOKIE], _origin(request))
        response = RedirectResponse("/", 303)
        response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return response

    # ------------------------------------------------------------ what a board gets

    async def own_page(self, request: Request) -> Response:
        visitor = await self._visitor(request)
        return RedirectResponse(f"/rapporten/{visitor.board}/" if visitor else "/", 303)

    async def add_slash(self, request: Request) -> Response:
        return RedirectResponse(f"/rapporten/{quote(request.path_params['board'], safe='')}/", 308)

    async def board(self, request: Request) -> Response:
        who = await self._who(request)
        if isinstance(who, Response):
            return who
        board, visitor = who
        if request.path_params["board"] != board:
            return self._nothing_here(request, visitor)
        if visitor is None:  # a script with HTTP Basic: the page is for people
            return PlainTextResponse("Rapportages: /rapporten/<bestuur>/<periode>/Rapportages.zip\n")
        name, periods = await run_in_threadpool(self._overview, board)
        shown = [
            {
                "campaign": period.campaign,
                "anchor": _anchor(period.campaign),
                "link": f"/rapporten/{board}/{quote(period.campaign, safe='')}/Rapportages.zip",
                "visible_from": period.visible_from,
                "bundle": period.bundle,
                "downloaded_at": period.downloaded_at,
            }
            for period in periods
        ]
        return self._pages.page(request, "board", visitor=visitor, name=name, periods=shown)

    def _overview(self, board: str) -> tuple[str, list[publication.Period]]:
        with self._rights.ledger.view() as session:
            return publication.board_name(session, board), publication.periods(session, board, self._rights.ledger.clock())

    async def download(self, request: Request) -> Response:
        who = await self._who(request)
        if isinstance(who, Response):
            return who
        board, visitor = who
        if request.path_params["board"] != board:
            return self._nothing_here(request, visitor)
        response = await run_in_threadpool(self._bundle, request, board)
        return response or self._nothing_here(request, visitor)

    def _bundle(self, request: Request, board: str) -> Response | None:
        with self._rights.ledger.view() as session:
            bundle = publication.visible_bundle(session, board, request.path_params["campaign"], self._rights.ledger.clock())
        return None if bundle is None else bundle_response(request, self._rights, bundle, _origin(request))

    # ------------------------------------------------------------ for everybody

    async def sample(self, request: Request) -> Response:
        if self._rights.sample is None:
            return self._nothing_here(request, None)
        async with self._sampling:
            if self._sample is None:
                self._sample = await run_in_threadpool(self._rights.sample)
        named = {"Content-Disposition": 'inline; filename="Voorbeeldrapport.pdf"', "Cache-Control": "public, max-age=3600"}
        # a browser's own PDF viewer needs styles of its own
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
        return Response(self._sample, media_type="application/pdf", headers=named | policy)

    async def accessibility(self, request: Request) -> Response:
        return self._pages.page(request, "accessibility", visitor=await self._visitor(request))

    async def security_txt(self, request: Request) -> Response:
        expires = (self._rights.ledger.clock() + timedelta(days=SECURITY_TXT_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
        lines = [
            f"Contact: mailto:{self._rights.contact}",
            f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
            "Preferred-Languages: nl, en",
            f"Canonical: {self._rights.address}/.well-known/security.txt",
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def healthy(self, _request: Request) -> Response:
        """200 when the ledger answers."""
        await run_in_threadpool(self._sessions.find, "nobody")
        return PlainTextResponse("ok\n")

    # ------------------------------------------------------------ who is it

    async def _visitor(self, request: Request) -> PortalSession | None:
        return await run_in_threadpool(self._sessions.find, request.cookies.get(SESSION_COOKIE))

    async def _who(self, request: Request) -> tuple[str, PortalSession | None] | Response:
        """The board that asks, by session or by HTTP Basic; else the answer that lets it log in and come back here."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            visitor = await self._visitor(request)
            if visitor is not None:
                return visitor.board, visitor
            if "text/html" in request.headers.get("accept", ""):
                wanted = _wanted(request.url.path)
                return RedirectResponse(f"/?{urlencode({'naar': wanted})}" if wanted else "/", 303)
            return self._challenge()
        given = basic_credentials(authorization)
        if given is None:
            return self._challenge()
        admission = await self._door.admit(*given, _origin(request), "basic")
        if isinstance(admission, Admitted):
            return admission.board, None
        if isinstance(admission, Later):
            return PlainTextResponse("Te veel pogingen.\n", 429, headers={"Retry-After": str(admission.seconds)})
        return self._challenge()

    def _challenge(self) -> Response:
        text = "Bestuursnummer of wachtwoord klopt niet, of ontbreekt.\n"
        return PlainTextResponse(text, 401, headers={"WWW-Authenticate": 'Basic realm="Rapportages", charset="UTF-8"'})

    # ------------------------------------------------------------ pages that say no

    def _login_page(
        self, request: Request, status: int, wanted: str, board: str, problem: str, seconds: int = 0, until: date | None = None
    ) -> Response:
        match = _WANTED.fullmatch(wanted)
        typed = board or (match["board"] if match else "")
        return self._pages.page(request, "login", status, wanted=wanted, board=typed, problem=problem, seconds=seconds, until=until)

    def _not_admitted(self, request: Request, admission: Wrong | Expired | Later, wanted: str, board: str) -> Response:
        if isinstance(admission, Later):
            response = self._login_page(request, 429, wanted, board, "later", seconds=admission.seconds)
            response.headers["Retry-After"] = str(admission.seconds)
            return response
        if isinstance(admission, Expired):
            return self._login_page(request, 403, wanted, board, "expired", until=admission.until)
        return self._login_page(request, 403, wanted, board, "wrong")

    def _not_from_here(self, request: Request) -> Response:
        return self._pages.message(
            request,
            403,
            ("Dit formulier kwam niet van deze site", "This form did not come from this site"),
            ("Ga naar de inlogpagina en probeer het opnieuw.", "Go to the login page and try again."),
        )

    def _nothing_here(self, request: Request, visitor: PortalSession | None) -> Response:
        """The same for what is not there, not there yet, not there any more, and another board's."""
        return self._pages.message(
            request,
            404,
            ("Deze pagina is er niet", "This page is not here"),
            (
                "Misschien is het adres niet goed overgenomen, of hoort het niet bij uw bestuur.",
                "Perhaps the address was miscopied, or is not your board's.",
            ),
            visitor=visitor,
        )

    async def refused(self, request: Request, error: Exception) -> Response:
        """What the framework says no to: unknown addresses and methods, too large a form."""
        status = error.status_code if isinstance(error, HTTPException) else 400
        if status == 404:
            return self._nothing_here(request, await self._visitor(request))
        text = {405: ("Dat kan hier niet", "That can't be done here"), 413: ("Dat is te groot", "That is too large")}
        heading = text.get(status, ("Dat begrijpen wij niet", "We do not understand that"))
        response = self._pages.message(request, status, heading)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    async def gone(self, request: Request, _error: Exception) -> Response:
        """Withdrawn between the question and the answer."""
        return self._nothing_here(request, None)

    async def fault(self, request: Request, error: Exception) -> Response:
        # the framework calls this outside the middleware, so it dresses its answer itself
        log.error("page failed", route=getattr(request.scope.get("route"), "path", ""), exc_info=error)
        response = self._pages.message(
            request,
            500,
            ("Er ging iets mis bij ons", "Something went wrong on our side"),
            (
                f"Probeer het later opnieuw. Blijft het misgaan? Mail naar {self._rights.contact}.",
                f"Try again later. Does it keep failing? Write to {self._rights.contact}.",
            ),
        )
        response.headers.update(headers.ALWAYS | {"Content-Security-Policy": headers.CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"})
        return response


def _origin(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _wanted(path: str) -> str:
    """`path` if it is an address of reports, else "": nobody is sent to another site after logging in."""
    return path if _WANTED.fullmatch(path) else ""


def _landing(wanted: str, board: str) -> str:
    """Where one goes after logging in: the own page, at the period that was wanted."""
    match = _WANTED.fullmatch(wanted)
    own = f"/rapporten/{board}/"
    return f"{own}#{_anchor(match['campaign'])}" if match and match["board"] == board and match["campaign"] else own


def _anchor(campaign: str) -> str:
    return "periode-" + re.sub(r"[^0-9A-Za-z_-]", "_", campaign)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form; 413 when it is larger than any form of ours."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            raise HTTPException(413)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=None)
    return {name: values[0] for name, values in fields.items()}


def _fixed(content: Callable[[], bytes], media_type: str, caching: str) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        return Response(content(), media_type=media_type, headers={"Cache-Control": caching})

    return answer
