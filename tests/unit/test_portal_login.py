"""Logging in and out: what is forgiven, what is never told, what is bounded, what is written down."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from gateway.cli.publishing import publish_campaign
from gateway.portal import login
from gateway.store import credentials
from gateway.store.models import Credential, PortalSession
from tests.support.boards import CAMPAIGN, Boards, browser, log_in, make_boards

#: each of these takes a part of a second or more: `make check` leaves them out
pytestmark = pytest.mark.slow

OWN = "/rapporten/11111/"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    boards = make_boards(tmp_path_factory.mktemp("login") / "home", {"11111": ["01AA00"], "22222": ["02BB00"], "33333": []})
    boards.give_credentials("11111", "22222")
    publish_campaign(boards.home, CAMPAIGN)
    boards.clock.forward(days=20)
    return boards


@pytest.fixture
def client(prepared: Boards) -> Iterator[TestClient]:
    with browser(prepared) as client:
        yield client


def test_right_password_leads_to_the_boards_own_page(prepared: Boards, client: TestClient) -> None:
    answer = log_in(client, "11111", prepared.passwords["11111"])
    assert (answer.status_code, answer.headers["location"]) == (303, OWN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-sluis=") and "Path=/" in cookie and "Domain" not in cookie
    assert {"HttpOnly", "Secure", "SameSite=lax"} <= set(cookie.split("; "))
    page = client.get(OWN)
    assert page.status_code == 200 and "Stichting 11111" in page.text


@pytest.mark.parametrize(
    "change",
    [
        lambda password: f"  {password}\n",
        lambda password: password.upper(),
        lambda password: password.replace("-", ""),
        lambda password: password.replace("-", "\u00a0"),
        lambda password: password.replace("-", "\u2013"),
        lambda password: " ".join(password),
    ],
)
def test_what_copying_and_typing_add_is_forgiven(prepared: Boards, client: TestClient, change) -> None:  # type: ignore[no-untyped-def]
    assert log_in(client, " 11111 ", change(prepared.passwords["11111"])).status_code == 303


def visible(page: str) -> str:
    return re.sub(r'value="[^"]*"', "", page)


def test_wrong_password_and_unknown_board_look_the_same(prepared: Boards, client: TestClient) -> None:
    answers = [log_in(client, board, "k7qf-m3xd-9wht-pr4a-cg6n") for board in ("22222", "33333", "99999")]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert len({visible(answer.text) for answer in answers}) == 1
    assert len({tuple(sorted(set(answer.headers) - {"content-length"})) for answer in answers}) == 1
    assert "Het bestuursnummer of het wachtwoord klopt niet" in answers[0].text


def test_unknown_board_costs_a_password_check_too(prepared: Boards, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    real = login.passwords.verify
    monkeypatch.setattr(login.passwords, "verify", lambda text, phc: checked.append(phc) or real(text, phc))
    for board in ("22222", "99999", "not a board"):
        log_in(client, board, "k7qf-m3xd-9wht-pr4a-cg6n")
    assert len(checked) == 3 and checked[1:] == [login.passwords.DUMMY_HASH] * 2
    costs = {phc.rsplit("$", 2)[0] for phc in checked}
    assert len(costs) == 1, "the dummy hash must cost what a real one costs"


def test_anothers_password_does_not_fit(prepared: Boards, client: TestClient) -> None:
    assert log_in(client, "22222", prepared.passwords["11111"]).status_code == 403


def test_deep_link_is_remembered_through_the_login(prepared: Boards, client: TestClient) -> None:
    answer = client.get(f"{OWN}{CAMPAIGN}/Rapportages.zip")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?naar=%2Frapporten%2F11111%2F2026-M%2FRapportages.zip")
    page = client.get(answer.headers["location"]).text
    assert 'value="11111"' in page
    wanted = re.search(r'name="naar" value="([^"]*)"', page)
    assert wanted is not None
    landed = log_in(client, "11111", prepared.passwords["11111"], wanted[1])
    assert landed.headers["location"] == f"{OWN}#periode-2026-M"
    assert 'id="periode-2026-M"' in client.get(OWN).text


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/rapporten/11111/\r\nX: y", "/\\evil.example", "javascript:1"]
)
def test_nobody_is_sent_elsewhere_after_logging_in(prepared: Boards, client: TestClient, wanted: str) -> None:
    assert log_in(client, "11111", prepared.passwords["11111"], wanted).headers["location"] == OWN


def test_who_is_logged_in_already_goes_on(prepared: Boards, client: TestClient) -> None:
    log_in(client, "11111", prepared.passwords["11111"])
    assert client.get("/").headers["location"] == OWN
    assert client.get("/rapporten/").headers["location"] == OWN
    assert client.get(f"/?naar={OWN}").headers["location"] == OWN


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver", "https://testserver.evil.example"])
def test_a_form_of_another_site_is_refused(prepared: Boards, client: TestClient, origin: str) -> None:
    form = {"bestuur": "11111", "wachtwoord": prepared.passwords["11111"]}
    assert client.post("/", data=form, headers={"Origin": origin}).status_code == 403
    assert client.post("/", data=form).status_code == 403
    assert client.post("/", data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert "__Host-sluis" not in client.cookies


def test_logging_out_needs_the_sessions_own_token_and_ends_it(prepared: Boards, client: TestClient) -> None:
    log_in(client, "11111", prepared.passwords["11111"])
    here = {"Origin": "https://testserver"}
    assert client.post("/uitloggen", data={"csrf": "guess"}, headers=here).status_code == 403
    assert client.get(OWN).status_code == 200
    csrf = re.search(r'name="csrf" value="([^"]*)"', client.get(OWN).text)
    assert csrf is not None
    assert client.post("/uitloggen", data={"csrf": csrf[1]}, headers={"Origin": "https://evil.example"}).status_code == 403
    token = client.cookies["__Host-sluis"]
    assert client.post("/uitloggen", data={"csrf": csrf[1]}, headers=here).status_code == 303
    client.cookies.clear()
    assert client.get(OWN, headers={"Cookie": f"__Host-sluis={token}"}).status_code == 303


def test_every_login_gets_a_new_session_and_the_ledger_keeps_no_token(prepared: Boards, client: TestClient) -> None:
    log_in(client, "11111", prepared.passwords["11111"])
    first = client.cookies["__Host-sluis"]
    log_in(client, "11111", prepared.passwords["11111"])
    second = client.cookies["__Host-sluis"]
    assert first != second
    with prepared.home.ledger.view() as session:
        kept = [row.token_sha256 for row in session.exec(select(PortalSession))]
    assert first not in kept and second not in kept
    assert client.get(OWN, headers={"Cookie": f"__Host-sluis={first}"}).status_code == 303


def test_logins_are_written_down_with_the_board_and_without_what_was_typed(prepared: Boards, client: TestClient) -> None:
    before = len(prepared.audit("portal.login"))
    for board, password in (("11111", prepared.passwords["11111"]), ("22222", "wrong"), ("my secret in the wrong field", "wrong")):
        prepared.clock.forward(seconds=1)
        log_in(client, board, password)
    rows = prepared.audit("portal.login")[before:]
    assert [(row.object, row.result, row.actor) for row in rows] == [
        ("11111", "ok", "board 11111"),
        ("22222", "refused", "portal"),
        ("unknown", "refused", "portal"),
    ]
    assert "secret" not in "".join(str(row.model_dump()) for row in rows)


def test_guessing_is_slowed_down_the_same_for_boards_that_exist_and_that_do_not(prepared: Boards) -> None:
    for board in ("22222", "88888"):
        with browser(prepared) as client:
            answers = [log_in(client, board, "wrong") for _ in range(7)]
            assert [answer.status_code for answer in answers] == [403] * 6 + [429], board
            assert 0 < int(answers[-1].headers["retry-after"]) <= 3
            assert log_in(client, board, prepared.passwords.get(board, "")).status_code == 429


# ---------------------------------------------------------------- time; each with a home of its own


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    boards = make_boards(tmp_path / "home", {"11111": []})
    boards.give_credentials("11111")
    return boards


def test_a_session_ends_when_idle_and_in_any_case(boards: Boards) -> None:
    with browser(boards) as client:
        log_in(client, "11111", boards.passwords["11111"])
        boards.clock.forward(minutes=31)
        assert client.get(OWN).status_code == 303
        log_in(client, "11111", boards.passwords["11111"])
        for _ in range(8 * 3 - 1):
            boards.clock.forward(minutes=20)
            assert client.get(OWN).status_code == 200
        boards.clock.forward(minutes=20)
        assert client.get(OWN).status_code == 303


def test_an_expired_credential_says_so_to_who_knows_the_password_only(boards: Boards) -> None:
    boards.clock.forward(days=400)
    with browser(boards) as client:
        answer = log_in(client, "11111", boards.passwords["11111"])
        assert answer.status_code == 403 and "geldig tot en met 30 juni 2027" in answer.text
        assert "geldig tot en met" not in log_in(client, "11111", "wrong").text


def test_a_new_credential_or_a_revocation_ends_password_and_sessions(boards: Boards) -> None:
    with browser(boards) as client:
        old = boards.passwords["11111"]
        log_in(client, "11111", old)
        boards.give_credentials("11111")
        assert client.get(OWN).status_code == 303
        assert log_in(client, "11111", old).status_code == 403
        assert log_in(client, "11111", boards.passwords["11111"]).status_code == 303
        with boards.home.ledger.change("test") as change:
            credentials.revoke(change, "11111")
        assert client.get(OWN).status_code == 303
        assert log_in(client, "11111", boards.passwords["11111"]).status_code == 403
    with boards.home.ledger.view() as session:
        assert [standing.state for standing in credentials.standings(session, date(2026, 6, 2))] == ["revoked"]
        assert session.exec(select(Credential).where(Credential.revoked_at == None)).all() == []  # noqa: E711


def test_board_number_is_read_as_people_write_it() -> None:
    assert [login.board_number(typed) for typed in (" 12 345", "12345\n", "345", "123456", "abc", "")] == [
        "12345",
        "12345",
        "00345",
        "unknown",
        "unknown",
        "unknown",
    ]


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer x", "Basic " + "eA==", "Basic /w==", "Basic \xff"])
def test_a_broken_authorization_header_is_no_error(header: str) -> None:
    assert login.basic_credentials(header) is None
