"""A board at its desk: logs in on the portal with what its letter says, and takes its zip. HTTPS only, as a browser would."""

import io
import ssl
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path

from policies.errors import Refused


@dataclass(frozen=True)
class Taken:
    """What came out of the portal: the zip's size [bytes] and the names in it."""

    bytes: int
    names: list[str]


def take_zip(address: str, certificate: Path, board: str, password: str, campaign: str) -> Taken:
    """Log in, open the board's page, download `Rapportages.zip` and open it; Refused when the portal does otherwise than promised."""
    context = ssl.create_default_context(cafile=str(certificate))
    browser = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(path: str, form: dict[str, str] | None = None) -> tuple[str, bytes]:
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(address + path, data, {"Origin": address} if form else {})  # noqa: S310  (our own portal, https)
        with browser.open(request, timeout=60) as answer:
            return answer.url, answer.read()

    get("/")
    where, page = get("/", {"bestuur": board, "wachtwoord": f" {password} "})  # pasted spaces do not matter
    if not where.endswith(f"/rapporten/{board}/"):
        raise Refused("demo-login", "The portal did not let the board in.", "See the portal's log in the demo's folder.")
    link = f"/rapporten/{board}/{campaign}/Rapportages.zip"
    if link not in page.decode():
        raise Refused("demo-period", "The board's page does not show the campaign's bundle.", "See the portal's log in the demo's folder.")
    _, content = get(link)
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        if opened.testzip() is not None:
            raise Refused("demo-zip", "The zip that came out is damaged.", "See the portal's log in the demo's folder.")
        return Taken(len(content), opened.namelist())
