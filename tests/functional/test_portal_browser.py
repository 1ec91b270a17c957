"""A secretary with a letter in hand: a real browser, curl and a bare TLS client against the portal as it is served."""

import base64
import hashlib
import io
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright

from gateway.cli.publishing import publish_campaign
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_campaign, add_report, make_boards
from tests.support.portal_server import running_portal, trusting

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
BOARD = "11111"
ZIP = f"/rapporten/{BOARD}/{CAMPAIGN}/Rapportages.zip"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    schools = {BOARD: ["01AA00", "01AA01"], "22222": ["02BB00"]}
    boards = make_boards(tmp_path_factory.mktemp("served") / "home", schools)
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7" + bytes(range(256)) * 8000)
    add_campaign(boards, "2026-E", PUBLISH_FROM.replace(month=12), schools)
    for campaign in (CAMPAIGN, "2026-E"):
        publish_campaign(boards.home, campaign)
    boards.give_credentials(BOARD)
    boards.clock.now = PUBLISH_FROM
    return boards


@pytest.fixture(scope="module")
def address(boards: Boards) -> Iterator[str]:
    with running_portal(boards.home) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium(boards: Boards) -> Iterator[Browser]:
    """A browser that trusts the portal's own key and no other.

    Playwright's `ignore_https_errors` is not enough: Chromium asks for a download outside the page, and when that needs a new
    connection the page's pardon doesn't hold: the download ends with ERR_CERT_AUTHORITY_INVALID, about once in sixty times.
    """
    certificate = x509.load_pem_x509_certificate((boards.home.public / "portal.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", f"--ignore-certificate-errors-spki-list={trusted}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A new visitor; without JavaScript, for no page may need it."""
    context = chromium.new_context(java_script_enabled=False, locale="nl-NL")
    yield context.new_page()
    context.close()


def check_zip(boards: Boards, data: bytes) -> None:
    assert hashlib.sha256(data).hexdigest() == boards.bundle(BOARD).sha256
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    for file in json.loads(archive.read("manifest.json"))["files"]:
        assert hashlib.sha256(archive.read(file["name"])).hexdigest() == file["sha256"]
    assert archive.read("Overzicht.pdf").startswith(b"%PDF")


@pytest.mark.browser
def test_from_letter_to_opened_zip(boards: Boards, address: str, page: Page) -> None:
    page.goto(f"{address}/rapporten/{BOARD}/")
    assert page.locator("h1").inner_text() == "Haal de rapportages van uw scholen op"
    assert page.get_by_label("Bestuursnummer").input_value() == BOARD
    page.get_by_label("Wachtwoord").fill(" " + boards.passwords[BOARD].upper().replace("-", "  ") + " ")
    page.get_by_role("button", name="Inloggen").click()
    assert page.url == f"{address}/rapporten/{BOARD}/"
    ready = page.get_by_role("listitem").filter(has_text=f"Periode {CAMPAIGN}")
    assert "2 rapporten" in ready.inner_text() and "nog niet gedownload" in ready.inner_text()
    assert "10 december 2026" in page.get_by_role("listitem").filter(has_text="Periode 2026-E").inner_text()
    with page.expect_download() as download:
        ready.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "Rapportages.zip"
    check_zip(boards, Path(download.value.path()).read_bytes())
    page.reload()
    assert "nog niet gedownload" not in page.get_by_role("listitem").filter(has_text=f"Periode {CAMPAIGN}").inner_text()
    page.get_by_role("button", name="Uitloggen").click()
    assert page.url == f"{address}/"
    page.goto(f"{address}/rapporten/{BOARD}/")
    assert page.url.startswith(f"{address}/?naar=")


@pytest.mark.browser
def test_a_wrong_password_is_told_and_can_be_mended(boards: Boards, address: str, page: Page) -> None:
    page.goto(address)
    page.get_by_label("Bestuursnummer").fill(BOARD)
    page.get_by_label("Wachtwoord").fill("k7qf-m3xd-9wht")
    page.get_by_role("button", name="Inloggen").click()
    assert "Het bestuursnummer of het wachtwoord klopt niet." in page.get_by_role("alert").inner_text()
    page.get_by_label("Wachtwoord").fill(boards.passwords[BOARD])
    page.get_by_role("button", name="Inloggen").click()
    assert page.url == f"{address}/rapporten/{BOARD}/"
    assert page.goto(f"{address}/rapporten/22222/").status == 404  # type: ignore[union-attr]
    assert page.locator("h1").inner_text() == "Deze pagina is er niet"


@pytest.mark.browser
def test_keyboard_only_on_a_small_screen(boards: Boards, address: str, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    while page.evaluate("document.activeElement.id") != "bestuur":
        page.keyboard.press("Tab")
    page.keyboard.type(BOARD)
    page.keyboard.press("Tab")
    page.keyboard.type(boards.passwords[BOARD])
    page.keyboard.press("Enter")
    page.wait_for_url("**/rapporten/*/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    while "button" not in page.evaluate("document.activeElement.className"):
        page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    context.close()


def test_curl_downloads_and_goes_on_where_it_stopped(boards: Boards, address: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl is not None, ".ci/run installs curl"
    target = tmp_path / "Rapportages.zip"
    command = [curl, "-sSf", "--insecure", "--tlsv1.3", "-u", f"{BOARD}:{boards.passwords[BOARD]}", "-o", str(target), f"{address}{ZIP}"]
    subprocess.run(command, check=True, timeout=60)
    whole = target.read_bytes()
    check_zip(boards, whole)
    target.write_bytes(whole[:1_000_001])
    subprocess.run([*command, "--continue-at", "-"], check=True, timeout=60)
    assert target.read_bytes() == whole
    assert [row.detail["first_byte"] for row in boards.audit("bundle.downloaded")].count(1_000_001) == 1
    refused = subprocess.run([*command, "-u", f"{BOARD}:wrong"], capture_output=True, timeout=60, check=False)
    assert refused.returncode == 22 and b"401" in refused.stderr


def test_tls_1_3_and_nothing_older(boards: Boards, address: str) -> None:
    port = int(address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting(boards.home).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.3"
    older = trusting(boards.home)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
        older.wrap_socket(plain, server_hostname="localhost")


def test_the_role_ends_in_order_when_it_is_asked_to(tmp_path: Path) -> None:
    """`sluis serve portal` as a process: SIGTERM, exit status 0, nothing on standard output."""
    boards = make_boards(tmp_path / "home", {BOARD: []})
    settings = boards.home.path / "sluis.toml"
    settings.write_text(re.sub(r"port = 8443", "port = 0", settings.read_text()))
    command = [sys.executable, "-m", "gateway.cli", "--home", str(boards.home.path), "serve", "portal"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("portal listens" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout is not None and process.stdout.read() == ""
