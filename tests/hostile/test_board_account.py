"""Somebody with the account of one board, on the portal as it is served: whatever they ask for, they get what is theirs and nothing else.

What they try with logins and sessions stands in test_board_sessions.py.
"""

import re
import ssl
from collections.abc import Iterator, Sequence

import pytest
from starlette.routing import Route

from gateway.portal.app import create_app
from tests.support.board_attack import EARLIER, LATER, MINE, NOBODY, OTHER, ZIP, Attack, attacked_portal
from tests.support.boards import CAMPAIGN

pytestmark = pytest.mark.slow

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SEARCH")


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    with attacked_portal(tmp_path_factory.mktemp("account")) as attack:
        yield attack


@pytest.fixture(scope="module")
def shared(attack: Attack) -> str:
    """A session of the attacker's own."""
    return attack.session()


@pytest.fixture(autouse=True)
def nothing_of_others_came(attack: Attack) -> Iterator[None]:
    attack.got.clear()
    yield
    attack.check()


def test_the_search_would_find_it(attack: Attack) -> None:
    """The other board gets what is searched for after every test: else that could not fail."""
    cookie = attack.session(OTHER)
    answer = attack.get(ZIP.format(OTHER, CAMPAIGN), cookie=cookie)
    assert b"02BB00" in answer.body and attack.boards.bundle(OTHER).sha256 in answer.header("etag")
    attack.got.remove(answer)
    page = attack.get(f"/rapporten/{OTHER}/", cookie=cookie)
    assert f"Stichting {OTHER}" in page.body.decode()
    attack.got.remove(page)


# ---------------------------------------------------------------- every route, every method


def addresses(attack: Attack, board: str, campaign: str) -> list[str]:
    """Every address of the portal that names a board, filled in: a route that is added later is attacked too."""
    routes = [route.path for route in create_app(attack.boards.home).routes if isinstance(route, Route) and "{" in route.path]
    assert {"/rapporten//", "/rapporten///Rapportages.zip"} <= {re.sub(r"\{\w+\}", "", path) for path in routes}
    return sorted(path.replace("{board}", board).replace("{campaign}", campaign) for path in routes)


@pytest.mark.parametrize("campaign", [CAMPAIGN, EARLIER, LATER, "2031-M"])
def test_another_boards_addresses_answer_as_those_of_a_board_that_is_not_there(attack: Attack, campaign: str) -> None:
    cookie = attack.session()
    for method in METHODS:
        for theirs, nobodys in zip(addresses(attack, OTHER, campaign), addresses(attack, NOBODY, campaign), strict=True):
            one = attack.send(method, theirs, "Accept: text/html", cookie=cookie)
            other = attack.send(method, nobodys, "Accept: text/html", cookie=cookie)
            expected = (308, 405) if not theirs.endswith(("/", ".zip")) else (404, 405)
            assert one.status in expected, (method, theirs, one.status)
            if one.status == 308:
                assert (one.header("location"), other.header("location")) == (f"/rapporten/{OTHER}/", f"/rapporten/{NOBODY}/")
            else:
                assert one.kind == other.kind, (method, theirs)


def test_what_is_not_visible_yet_is_not_there(attack: Attack) -> None:
    cookie = attack.session()
    later, never = (attack.get(ZIP.format(MINE, campaign), cookie=cookie) for campaign in (LATER, "2031-M"))
    assert later.status == 404 and later.kind == never.kind


# ---------------------------------------------------------------- ways of writing a path

SPELLED = [
    "%32%32%32%32%32", "2222%32", "022222", "+22222", "22222%20", "%2022222", "22222%00", "22222;", "22222;x=1", "22222%3b", "22222%2e",
    "22222%0a", "22222%0d%0aX-Odd:%201", "\uff12\uff12\uff12\uff12\uff12", "%EF%BC%92" * 5, "%D9%A2" * 5, "%c0%b2" * 5,
    "22222.0", "2.2222e4", "0x56ce", "22222,11111", "11111,22222", "22222'--", "22222%25", "%2532%2532222", "22222/.", "*", "%",
    "_____", "22222?/", "..", "%2e%2e",
]  # fmt: skip
PATHS: list[str | bytes] = [
    "/rapporten/11111/../22222/2026-M/Rapportages.zip",
    "/rapporten/11111/%2e%2e/22222/2026-M/Rapportages.zip",
    "/rapporten/11111%2f..%2f22222/2026-M/Rapportages.zip",
    "/rapporten/11111/2026-M/..%2f..%2f22222%2f2026-M/Rapportages.zip",
    "/rapporten/11111/..%5c22222%5c2026-M/Rapportages.zip",
    "/rapporten/11111/..\\22222\\2026-M/Rapportages.zip",
    "/rapporten//22222/2026-M/Rapportages.zip",
    "//22222/rapporten/22222/2026-M/Rapportages.zip",
    "/./rapporten/./22222/./2026-M/./Rapportages.zip",
    "/RAPPORTEN/22222/2026-M/Rapportages.zip",
    "/rapporten/22222/2026-M/rapportages.ZIP",
    "/rapporten/22222/2026-m/Rapportages.zip",
    "/rapporten/22222/2026-M/Rapportages.zip/",
    "/rapporten/22222/2026-M/Rapportages.zip%00.css",
    "/rapporten/22222/2026-M/Rapportages.zip;.css",
    "/rapporten/22222/2026-M",
    "/rapporten/11111/2026-M/Rapportages.zip?board=22222&bestuur=22222",
    "/rapporten/11111/?board=22222&bestuur=22222&naar=/rapporten/22222/",
    "/rapporten/11111%252f..%252f22222/",
    "/%2e%2e/%2e%2e/sluis.toml", "/../sluis.toml", "/..%2fdrops%2fleerlingen.csv", "/../registers/leerlingen.csv",
    "/bundles/leerlingen.csv",
    "/rapporten/..%2f..%2fdrops/leerlingen.csv/Rapportages.zip",
    "/rapporten/11111/..%2f..%2freports%2fleerlingen.csv/Rapportages.zip",
    "/rapporten/11111/%00/Rapportages.zip", "/rapporten/11111/" + "A" * 5000 + "/Rapportages.zip",
    "/rapporten/11111/%ff%fe/Rapportages.zip",
    "/merk.svg/../../sluis.toml", "/open-sans-regular.ttf%00", "/open-sans-..%2f..%2fsluis.toml.ttf", "/metrics", "/docs", "/openapi.json",
    "https://localhost/rapporten/22222/2026-M/Rapportages.zip", "http://other.example/rapporten/22222/", "*", "rapporten/22222/",
    b"/rapporten/\xb2\xb2\xb2\xb2\xb2/", b"/rapporten/22222\x00/", b"/rapporten/22222/\xff/Rapportages.zip", b"/rapporten/22222\t/",
]  # fmt: skip


@pytest.mark.parametrize("path", [*(f"/rapporten/{odd}/{CAMPAIGN}/Rapportages.zip" for odd in SPELLED), *PATHS], ids=repr)
def test_no_way_of_writing_a_path_leads_elsewhere(attack: Attack, shared: str, path: str | bytes) -> None:
    try:
        answer = attack.get(path, cookie=shared)
    except (ConnectionError, ssl.SSLError):  # not HTTP: the connection was closed without an answer
        attack.got.append(attack.get("/healthz"))
        return
    own = {attack.boards.bundle(MINE).sha256}
    assert answer.status != 200 or answer.header("etag").strip('"') in own or f"Stichting {MINE}".encode() in answer.body, answer


@pytest.mark.parametrize(
    "headers",
    [
        (f"X-Original-URL: /rapporten/{OTHER}/{CAMPAIGN}/Rapportages.zip",),
        (f"X-Rewrite-URL: /rapporten/{OTHER}/",),
        ("X-HTTP-Method-Override: PUT", f"X-Remote-User: {OTHER}", f"Remote-User: {OTHER}", f"X-Forwarded-User: {OTHER}"),
        ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", f"X-Forwarded-Prefix: /rapporten/{OTHER}", "Forwarded: for=127.0.0.1"),
        ("Host: other.example",),
        (f"Cookie: bestuur={OTHER}; board={OTHER}",),
    ],
)
def test_no_header_says_who_one_is(attack: Attack, shared: str, headers: Sequence[str]) -> None:
    plain, dressed = (
        attack.get(ZIP.format(OTHER, CAMPAIGN), cookie=shared),
        attack.get(ZIP.format(OTHER, CAMPAIGN), *headers, cookie=shared),
    )
    assert plain.status == 404 and plain.kind == dressed.kind
    own = attack.get(f"/rapporten/{MINE}/", *headers, cookie=shared)
    assert own.status == 200 and b"other.example" not in own.body and b"other.example" not in str(own.headers).encode()


# ---------------------------------------------------------------- ranges and conditions


def test_conditions_on_anothers_bundle_tell_nothing_of_it(attack: Attack, shared: str) -> None:
    """Not even to who knows its ETag: no 206, 304, 412 or 416, but the page that says that there is nothing."""
    etag = f'"{attack.boards.bundle(OTHER).sha256}"'
    plain = attack.get(ZIP.format(OTHER, CAMPAIGN), cookie=shared)
    assert plain.status == 404
    for headers in (
        ("Range: bytes=0-",), ("Range: bytes=99999999-",), (f"If-None-Match: {etag}",), ("If-None-Match: *",), ("If-Match: *",),
        ('If-Match: "x"',), (f"If-Match: {etag}",), (f"If-Range: {etag}", "Range: bytes=0-9"),
        ("If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT",),
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            bare = attack.send(method, ZIP.format(OTHER, CAMPAIGN), "Accept: text/html", cookie=shared)
            asked = attack.send(method, ZIP.format(OTHER, CAMPAIGN), "Accept: text/html", *headers, cookie=shared)
            assert asked.kind == bare.kind, headers


def test_anothers_etag_is_worth_nothing_at_ones_own_bundle(attack: Attack, shared: str) -> None:
    mine = attack.boards.bundle(MINE)
    etag = f'"{attack.boards.bundle(OTHER).sha256}"'
    for headers, status in (
        ((f"If-None-Match: {etag}",), 200),
        ((f"If-Match: {etag}",), 412),
        ((f"If-Range: {etag}", "Range: bytes=0-9"), 200),
    ):
        answer = attack.get(ZIP.format(MINE, CAMPAIGN), *headers, cookie=shared)
        assert (answer.status, answer.header("etag")) == (status, f'"{mine.sha256}"')
        assert status != 200 or len(answer.body) == mine.bytes
