"""Pages for everybody, headers on every answer, two languages, and what the portal never touches."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from gateway.cli.publishing import publish_campaign
from gateway.portal.pages import style_path, style_sheet, written_moment, written_size
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, browser, log_in, make_boards

SAMPLE = b"%PDF-1.7 een voorbeeld"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    boards = make_boards(tmp_path_factory.mktemp("pages") / "home", {"11111": ["01AA00"]})
    boards.give_credentials("11111")
    publish_campaign(boards.home, CAMPAIGN)
    boards.clock.now = PUBLISH_FROM
    return boards


@pytest.fixture
def client(boards: Boards) -> Iterator[TestClient]:
    with browser(boards, lambda: SAMPLE) as client:
        yield client


PATHS = [
    "/",
    "/?lang=en",
    "/toegankelijkheid",
    "/toegankelijkheid?lang=en",
    "/nergens",
    "/rapporten/11111/",
    "/voorbeeld",
    "/healthz",
    "/merk.svg",
]


@pytest.mark.parametrize("path", [*PATHS, style_path(), "/.well-known/security.txt"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"] and "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


class Outline(HTMLParser):
    """What of a page matters to who can't see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.mark.parametrize("lang", ["nl", "en"])
@pytest.mark.parametrize("state", ["login", "wrong", "board", "missing", "accessibility"])
def test_structure_of_every_page(boards: Boards, client: TestClient, state: str, lang: str) -> None:
    client.get(f"/?lang={lang}")
    if state == "wrong":
        page = log_in(client, "99999", "wrong").text
    else:
        if state == "board":
            log_in(client, "11111", boards.passwords["11111"])
        page = client.get({"login": "/", "board": "/rapporten/11111/", "missing": "/x", "accessibility": "/toegankelijkheid"}[state]).text
    outline = Outline(page)
    assert outline.all("html")[0]["lang"] == lang
    assert len(outline.all("main")) == len(outline.all("h1")) == len(outline.all("header")) == len(outline.all("footer")) == 1
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes["for"] for attributes in outline.all("label")}
    for field in outline.all("input"):
        assert field.get("type") == "hidden" or field["id"] in labelled
        for described in (field.get("aria-describedby") or "").split():
            assert described in ids
    for attributes in outline.all("section"):
        assert attributes["aria-labelledby"] in ids
    assert outline.all("script") == [] and not any("style" in attributes for _, attributes in outline.tags)
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_dutch_first_english_one_click_away_and_remembered(client: TestClient) -> None:
    page = client.get("/?naar=/rapporten/11111/").text
    assert "Inloggen" in page
    link = re.search(r'href="(\?[^"]*lang=en[^"]*)"', page)
    assert link is not None and "naar=" in link[1]
    english = client.get("/" + link[1].replace("&amp;", "&"))
    assert "Log in" in english.text and 'value="11111"' in english.text
    assert "Accessibility" in client.get("/toegankelijkheid").text
    assert "Toegankelijkheid" in client.get("/toegankelijkheid?lang=nl").text


def test_sample_report_is_there_when_wired_and_hidden_when_not(boards: Boards, client: TestClient) -> None:
    answer = client.get("/voorbeeld")
    assert (answer.content, answer.headers["content-type"]) == (SAMPLE, "application/pdf")
    with browser(boards) as bare:
        assert bare.get("/voorbeeld").status_code == 404
        assert "/voorbeeld" not in bare.get("/").text


def test_security_txt_is_rfc_9116(boards: Boards, client: TestClient) -> None:
    answer = client.get("/.well-known/security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:info@sluis.example"
    assert fields["Expires"] == "2026-12-07T00:00:00Z"
    assert fields["Canonical"].startswith("https://")


def test_a_large_form_and_a_wrong_method_are_refused(client: TestClient) -> None:
    here = {"Origin": "https://testserver"}
    assert client.post("/", data={"wachtwoord": "x" * 10_000}, headers=here).status_code == 413
    assert client.post("/toegankelijkheid", headers=here).status_code == 405
    assert client.post("/", content=b"\xff=%zz&" * 20, headers=here).status_code == 403


def test_names_are_escaped(boards: Boards, client: TestClient) -> None:
    page = client.get("/", params={"naar": '/rapporten/11111/"><script>x</script>/Rapportages.zip'}).text
    assert "<script>" not in page


def test_the_portal_never_opens_what_is_not_its_own(boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file opened and every table asked for while a board logs in, looks and downloads."""
    opened: list[Path] = []
    tables: set[str] = set()
    listening = True

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if listening and name == "open" and isinstance(arguments[0], str):
            opened.append(Path(arguments[0]))

    def statement(_connection: object, _cursor: object, text: str, *_: object) -> None:
        tables.update(word.lower() for word in re.findall(r"(?:FROM|INTO|UPDATE|JOIN)\s+(\w+)", text))

    sys.addaudithook(hook)
    event.listen(boards.home.ledger.engine, "before_cursor_execute", statement)
    try:
        with browser(boards) as client:
            log_in(client, "11111", boards.passwords["11111"])
            assert client.get("/rapporten/11111/").status_code == 200
            assert client.get(f"/rapporten/11111/{CAMPAIGN}/Rapportages.zip").status_code == 200
    finally:
        listening = False
        event.remove(boards.home.ledger.engine, "before_cursor_execute", statement)
    below = {path.relative_to(boards.home.path).parts for path in opened if path.is_relative_to(boards.home.path)}
    assert {parts[:-1] for parts in below if parts[0] != "sluis.sqlite"} == {("bundles",), ("mortal", "bundles")}
    assert tables == {"board", "bundle", "credential", "portal_session", "download", "audit_row"}


def test_sizes_and_moments_are_written_in_the_language() -> None:
    assert [written_size(size, "nl") for size in (999, 1000, 3_440_000, 250_000_000)] == [
        "999\u00a0bytes",
        "1,0\u00a0kB",
        "3,4\u00a0MB",
        "250\u00a0MB",
    ]
    assert written_size(3_440_000, "en") == "3.4\u00a0MB"
    assert written_moment(PUBLISH_FROM, "nl") == "10 juni 2026, 9.00 uur"
    assert written_moment(PUBLISH_FROM, "en") == "10 June 2026, 9:00"


def _luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.1, contrast ratio."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", style_sheet().decode(), re.DOTALL)[scheme]
    colours = {
        name: value if len(value) == 7 else "#" + "".join(c * 2 for c in value[1:])
        for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)
    }
    text = [("ink", "page"), ("ink", "card"), ("quiet", "page"), ("quiet", "card"), ("link", "page"), ("link", "card"), ("blue", "page")]
    text += [("button-ink", "button"), ("button-ink", "button-over"), ("ready", "ready-ground"), ("quiet", "badge-ground")]
    text += [("problem", "problem-ground"), ("ink", "problem-ground"), ("link", "problem-ground")]
    for fore, ground in text:
        assert contrast(colours[fore], colours[ground]) >= 4.5, (fore, ground)
    for fore, ground in [("field", "card"), ("focus", "page"), ("focus", "card"), ("problem", "card"), ("blue", "card")]:
        assert contrast(colours[fore], colours[ground]) >= 3, (fore, ground)
