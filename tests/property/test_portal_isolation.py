"""No sequence of requests of one board ever yields another board's byte."""

from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from httpx import Response
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from starlette.testclient import TestClient

from gateway.cli.publishing import publish_campaign
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_campaign, browser, log_in, make_boards

MINE, OTHER = "11111", "22222"
SCHOOLS = {MINE: ["01AA00"], OTHER: ["02BB00"]}
LATER = "2026-E"  # published, not yet visible to anybody


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    boards = make_boards(tmp_path_factory.mktemp("isolation") / "home", SCHOOLS)
    add_campaign(boards, "2025-M", PUBLISH_FROM.replace(year=2025), {OTHER: SCHOOLS[OTHER]})
    add_campaign(boards, LATER, PUBLISH_FROM.replace(month=12), SCHOOLS)
    for campaign in (CAMPAIGN, "2025-M", LATER):
        publish_campaign(boards.home, campaign)
    boards.give_credentials(MINE, OTHER)
    boards.clock.now = PUBLISH_FROM
    yield boards


odd_boards = ["22222%00", "22222%2F", "..%2F22222", "11111%2F..%2F22222", "\uff12" * 5, " 22222", "022222", "22222;"]
odd_campaigns = ["..", "2026-M%00", "2026-M%2F..%2F..%2F22222%2F2026-M", "2026-m", ""]
# mostly what would work if the portal were wrong; sometimes what is odd
spelled = st.one_of(st.just(OTHER), st.sampled_from([MINE, OTHER]), st.sampled_from(odd_boards))
campaigns = st.one_of(st.sampled_from([CAMPAIGN, "2025-M", LATER]), st.sampled_from([CAMPAIGN, "2025-M"]), st.sampled_from(odd_campaigns))
methods = st.one_of(st.just("GET"), st.sampled_from(["GET", "HEAD", "POST", "PUT"]))
request_headers = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["Range", "If-Range", "If-None-Match", "If-Match", "X-Forwarded-For", "X-Original-URL", "X-Rewrite-URL", "Accept"]),
        st.sampled_from(["bytes=0-", "bytes=-100", "bytes=5-1", '"x"', "*", "text/html", f"/rapporten/{OTHER}/{CAMPAIGN}/Rapportages.zip"]),
        max_size=3,
    ),
)


class OneBoard(RuleBasedStateMachine):
    """A visitor who knows the password of one board and everything else about the other."""

    boards: Boards

    @initialize()
    def begin(self) -> None:
        self.client: TestClient = browser(self.boards)
        self.got: list[Response] = []
        self.log_in_as_oneself(CAMPAIGN)

    @rule(wanted=campaigns)
    def log_in_as_oneself(self, wanted: str) -> None:
        self.got.append(log_in(self.client, MINE, self.boards.passwords[MINE], f"/rapporten/{OTHER}/{wanted}/Rapportages.zip"))

    @rule()
    def forget_the_cookie(self) -> None:
        self.client.cookies.clear()

    @rule(board=spelled, campaign=campaigns, headers=request_headers, method=methods)
    def ask_for_a_zip(self, board: str, campaign: str, headers: dict[str, str], method: str) -> None:
        self.got.append(self.client.request(method, f"/rapporten/{board}/{campaign}/Rapportages.zip", headers=headers))

    @rule(board=spelled, headers=request_headers, query=st.sampled_from(["", "?board=22222", "?lang=en", "?naar=/rapporten/22222/"]))
    def ask_for_a_page(self, board: str, headers: dict[str, str], query: str) -> None:
        self.got.append(self.client.get(f"/rapporten/{board}/{query}", headers=headers))

    @rule(board=spelled, campaign=campaigns)
    def ask_with_ones_own_password(self, board: str, campaign: str) -> None:
        auth = (MINE, self.boards.passwords[MINE])
        self.got.append(self.client.get(f"/rapporten/{board}/{campaign}/Rapportages.zip", auth=auth))

    @invariant()
    def nothing_of_the_other_board_came(self) -> None:
        bundle = self.boards.bundle(OTHER)
        for answer in getattr(self, "got", []):
            for secret in (b"02BB00", b"Stichting 22222", bundle.sha256.encode(), LATER.encode() + b" 01AA00"):
                assert secret not in answer.content
                assert secret.decode() not in str(answer.headers)
            assert answer.status_code < 500
        self.got = []


def test_no_sequence_of_requests_gives_another_boards_byte(boards: Boards) -> None:
    machine = type("Machine", (OneBoard,), {"boards": boards})
    quick = settings(max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=quick)


def test_the_search_would_find_it(boards: Boards) -> None:
    """The other board itself gets what the invariant looks for: else that could not fail."""
    with browser(boards) as client:
        log_in(client, OTHER, boards.passwords[OTHER])
        answer = client.get(f"/rapporten/{OTHER}/{CAMPAIGN}/Rapportages.zip")
        assert b"02BB00" in answer.content and boards.bundle(OTHER).sha256 in str(answer.headers)
        assert "Stichting 22222" in client.get(f"/rapporten/{OTHER}/").text
