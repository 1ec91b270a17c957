"""Somebody with the account of one board: logins, cookies, forms and passwords where they don't belong, or once more than they should."""

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import event

from gateway.store import credentials
from gateway.store.models import PortalSession
from tests.support.board_attack import COOKIE, MINE, NOBODY, OTHER, ZIP, Answer, Attack, attacked_portal
from tests.support.boards import CAMPAIGN

pytestmark = pytest.mark.slow

OWN = f"/rapporten/{MINE}/"
WRONG = "k7qf-m3xd-9wht-pr4a-cg6n"


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    with attacked_portal(tmp_path_factory.mktemp("sessions")) as attack:
        yield attack


@pytest.fixture(autouse=True)
def nothing_of_others_came(attack: Attack) -> Iterator[None]:
    attack.got.clear()
    yield
    attack.check()


def csrf_of(attack: Attack, cookie: str) -> str:
    found = re.search(rb'name="csrf" value="([^"]*)"', attack.get(OWN, cookie=cookie).body)
    assert found is not None
    return found[1].decode()


def log_out(attack: Attack, cookie: str, csrf: str, *headers: str) -> int:
    sent = headers or (f"Origin: https://localhost:{attack.port}",)
    form = "Content-Type: application/x-www-form-urlencoded"
    return attack.send("POST", "/uitloggen", form, *sent, body=f"csrf={csrf}".encode(), cookie=cookie).status


# ---------------------------------------------------------------- cookies


def test_a_session_that_was_planted_is_not_the_one_that_logs_in(attack: Attack) -> None:
    """Fixation: a token that the attacker chose, and one of the attacker's own session, in the browser of the other board."""
    planted = "A" * 43
    answer = attack.log_in(OTHER, None, cookie=planted)
    assert planted not in answer.header("set-cookie") and attack.get(OWN, cookie=planted).status == 303
    mine = attack.session()
    attack.log_in(OTHER, None, cookie=mine)
    assert attack.get("/rapporten/", cookie=mine).header("location") == "/", "the planted session ended; it never became the other's"


def test_no_cookie_but_the_very_token_is_a_session(attack: Attack) -> None:
    token = attack.session()
    with attack.boards.home.ledger.view() as session:
        kept = session.get_one(PortalSession, sha256(token.encode()).hexdigest())
    forged = [
        kept.token_sha256, kept.csrf, token[:-1], token + "A", token.swapcase(), f"{token}%00", f'"{token}x"', "", "null", "' OR 1=1 --",
        MINE, OTHER, "0" * 64, "A" * 5000,
    ]  # fmt: skip
    for cookie in forged:
        assert attack.send("GET", OWN, "Accept: text/html", f"Cookie: {COOKIE}={cookie}").status == 303, cookie
    for name in ("sluis", "__Secure-sluis", "session", f"{COOKIE}2", COOKIE.lower()):
        assert attack.send("GET", OWN, "Accept: text/html", f"Cookie: {name}={token}").status == 303, name
    for place in (f"?{COOKIE}={token}", f";{COOKIE}={token}"):
        assert attack.get(f"{OWN}{place}").status in (303, 404)
    assert attack.get(OWN, cookie=token).status == 200


def test_a_session_is_worth_nothing_once_it_ended(attack: Attack) -> None:
    """By leaving, by a new password, by revocation, by time: the same cookie again, and the same password."""
    ended = attack.session()
    assert log_out(attack, ended, csrf_of(attack, ended)) == 303
    old, password = attack.session(), attack.boards.passwords[MINE]
    attack.boards.give_credentials(MINE)
    assert attack.log_in(MINE, password).status == 403
    revoked = attack.session()
    with attack.boards.home.ledger.change("test") as change:
        credentials.revoke(change, MINE)
    assert attack.log_in(MINE).status == 403
    attack.boards.give_credentials(MINE)
    late = attack.session()
    attack.boards.clock.forward(hours=9)
    for cookie in (ended, old, revoked, late):
        for target in (OWN, ZIP.format(MINE, CAMPAIGN)):
            assert attack.get(target, cookie=cookie).status == 303
            assert attack.send("GET", target, cookie=cookie).status == 401
            assert attack.get(target, "Range: bytes=0-", 'If-None-Match: "x"', cookie=cookie).status == 303


# ---------------------------------------------------------------- forms of other sites


@pytest.mark.parametrize(
    "headers",
    [
        ("Origin: https://other.example",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",), ("Sec-Fetch-Site: same-site",),
        ("Origin: https://localhost.other.example",), ("Origin: http://localhost",), ("Referer: https://localhost/",), ("X-Nothing: 1",),
    ],
)  # fmt: skip
def test_no_other_site_logs_anybody_in_or_out(attack: Attack, headers: tuple[str, ...]) -> None:
    cookie = attack.session()
    csrf = csrf_of(attack, cookie)
    answer = attack.log_in(MINE, None, *headers)
    assert answer.status == 403 and answer.header("set-cookie") == ""
    assert log_out(attack, cookie, csrf, *headers) == 403
    assert attack.get(OWN, cookie=cookie).status == 200


def test_the_token_of_one_session_does_not_fit_another(attack: Attack) -> None:
    first, second = attack.session(), attack.session()
    assert log_out(attack, first, csrf_of(attack, second)) == 403
    assert log_out(attack, first, "") == 403
    assert attack.get(OWN, cookie=first).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_a_form_logs_out(attack: Attack, method: str) -> None:
    cookie = attack.session()
    assert attack.send(method, "/uitloggen", f"Origin: https://localhost:{attack.port}", cookie=cookie).status == 405
    assert attack.get(OWN, cookie=cookie).status == 200


# ---------------------------------------------------------------- HTTP Basic


def test_ones_own_password_opens_ones_own_addresses_only(attack: Attack) -> None:
    own = attack.basic(MINE, attack.boards.passwords[MINE])
    assert attack.send("GET", ZIP.format(MINE, CAMPAIGN), own).status == 200
    other, nobody = (attack.send("GET", ZIP.format(board, CAMPAIGN), own) for board in (OTHER, NOBODY))
    assert other.status == 404 and other.kind == nobody.kind
    assert attack.send("GET", f"/rapporten/{OTHER}/", own).status == 404


def test_another_number_with_ones_own_password_or_session_is_nobody(attack: Attack) -> None:
    password, cookie = attack.boards.passwords[MINE], attack.session()
    target = ZIP.format(OTHER, CAMPAIGN)
    for name in (OTHER, f"{MINE}\x00{OTHER}", f"{MINE},{OTHER}", f"{OTHER}\n{MINE}", f" {OTHER} {MINE}", f"{MINE}@{OTHER}", ""):
        for given in ((), (cookie,)):
            answer = attack.send("GET", target, attack.basic(name, password), cookie="".join(given))
            assert answer.status in (401, 429), name  # a wrong password is not made good by a session
    for header in (
        "Authorization: Bearer x",
        "Authorization: Basic",
        "Authorization: Basic \xff",
        "Authorization: Basic MTExMTE=",
        f"Authorization: Digest {MINE}",
    ):
        assert attack.send("GET", target, header.encode("latin-1"), cookie=cookie).status == 401, header


# ---------------------------------------------------------------- what a wrong answer tells


def answer_and_statements(attack: Attack, ask: Callable[[str], Answer], board: str) -> tuple[Answer, list[str]]:
    """The answer, and what the ledger was asked meanwhile, without the values."""
    asked: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    engine = attack.boards.home.ledger.engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        return ask(board), asked
    finally:
        event.remove(engine, "before_cursor_execute", listen)


def test_a_board_that_is_there_and_one_that_is_not_go_the_same_way(attack: Attack) -> None:
    """The same questions to the ledger and the same answer, byte by byte: at the login, by Basic, and behind a login."""
    cookie = attack.session()
    target = ZIP.format
    ways: list[Callable[[str], Answer]] = [
        lambda board: attack.send("GET", target(board, CAMPAIGN), attack.basic(board, WRONG)),
        lambda board: attack.get(target(board, CAMPAIGN), cookie=cookie),
        lambda board: attack.get(f"/rapporten/{board}/", cookie=cookie),
        lambda board: attack.log_in(board, WRONG),
    ]
    for ask in ways:
        (known, asked), (unknown, asked_too) = (answer_and_statements(attack, ask, board) for board in (OTHER, NOBODY))
        assert asked == asked_too != []
        unknown.body = unknown.body.replace(NOBODY.encode(), OTHER.encode())  # the form shows again what was typed
        assert known.kind == unknown.kind
