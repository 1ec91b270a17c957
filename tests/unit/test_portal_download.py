"""Downloading: ranges, conditions, what is written down, and what is not there."""

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from sqlmodel import select
from starlette.testclient import TestClient

from gateway.cli.publishing import publish_campaign, withdraw_campaign
from gateway.portal.app import create_app
from gateway.portal.downloads import Unsatisfiable, requested_range
from gateway.store.models import Download
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_report, browser, log_in, make_boards

ZIP = f"/rapporten/11111/{CAMPAIGN}/Rapportages.zip"


def published(folder: Path) -> Boards:
    boards = make_boards(folder / "home", {"11111": ["01AA00", "01AA01"], "22222": ["02BB00"]})
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7" + bytes(range(256)) * 1000)
    boards.give_credentials("11111", "22222")
    publish_campaign(boards.home, CAMPAIGN)
    boards.clock.now = PUBLISH_FROM
    return boards


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Boards:
    return published(tmp_path_factory.mktemp("download"))


@pytest.fixture
def client(boards: Boards) -> Iterator[TestClient]:
    with browser(boards) as client:
        log_in(client, "11111", boards.passwords["11111"])
        yield client


def basic(board: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{board}:{password}".encode()).decode(), "Accept": "*/*"}


def test_the_zip_comes_out_whole_and_is_accounted_for(boards: Boards, client: TestClient) -> None:
    before = len(boards.audit("bundle.downloaded"))
    answer = client.get(ZIP)
    bundle = boards.bundle("11111")
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{bundle.sha256}"'
    assert answer.headers["content-length"] == str(bundle.bytes) == str(len(answer.content))
    assert answer.headers["content-disposition"] == 'attachment; filename="Rapportages.zip"'
    assert answer.headers["cache-control"] == "private, no-store"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None and len(archive.namelist()) == 4
    rows = boards.audit("bundle.downloaded")[before:]
    assert [(row.object, row.actor, row.detail["bytes"]) for row in rows] == [("11111", "board 11111", bundle.bytes)]
    with boards.home.ledger.view() as session:
        assert session.exec(select(Download).where(Download.board == "11111")).all()[-1].bundle == bundle.id
    assert "nog niet gedownload" not in client.get("/rapporten/11111/").text


def test_head_tells_everything_and_is_no_download(boards: Boards, client: TestClient) -> None:
    before = len(boards.audit("bundle.downloaded"))
    answer = client.head(ZIP, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(boards.bundle("11111").bytes)
    assert answer.headers["accept-ranges"] == "bytes"
    assert len(boards.audit("bundle.downloaded")) == before


@pytest.fixture(scope="module")
def patient(boards: Boards) -> Iterator[tuple[TestClient, bytes]]:
    """A browser that stays logged in, with the zip it got."""
    with browser(boards) as client:
        log_in(client, "11111", boards.passwords["11111"])
        yield client, client.get(ZIP).content


@settings(max_examples=40)
@given(data=st.data())
def test_any_range_is_that_part_of_the_whole(patient: tuple[TestClient, bytes], data: st.DataObject) -> None:
    client, whole = patient
    size = len(whole)
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size + 10))
    answer = client.get(ZIP, headers={"Range": f"bytes={first}-{last}"})
    assert answer.status_code == 206
    assert answer.content == whole[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
    assert client.get(ZIP, headers={"Range": f"bytes=-{size - first}"}).content == whole[first:]
    assert client.get(ZIP, headers={"Range": f"bytes={first}-"}).content == whole[first:]


def test_if_range_goes_on_only_with_the_same_bytes(boards: Boards, client: TestClient) -> None:
    etag = f'"{boards.bundle("11111").sha256}"'
    assert client.get(ZIP, headers={"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        answer = client.get(ZIP, headers={"Range": "bytes=5-", "If-Range": other})
        assert answer.status_code == 200 and len(answer.content) == boards.bundle("11111").bytes


def test_conditions(boards: Boards, client: TestClient) -> None:
    etag = f'"{boards.bundle("11111").sha256}"'
    assert client.get(ZIP, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    assert client.get(ZIP, headers={"If-None-Match": '"x"'}).status_code == 200
    assert client.get(ZIP, headers={"If-Match": '"x"'}).status_code == 412
    assert client.get(ZIP, headers={"If-Match": f'"x", {etag}'}).status_code == 200
    beyond = client.get(ZIP, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{boards.bundle('11111').bytes}")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("Bytes = 1-99", (1, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=٣-", None),
    ],
)
def test_ranges_are_read_as_the_rfc_says(header: str | None, expected: tuple[int, int] | None) -> None:
    assert requested_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99999999999999999999999999-", "bytes=-0"])
def test_ranges_after_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_range(header, 10)


def test_scripts_log_in_by_basic_and_are_asked_for_it(boards: Boards) -> None:
    with browser(boards) as client:
        challenged = client.get(ZIP, headers={"Accept": "*/*"})
        assert challenged.status_code == 401 and challenged.headers["www-authenticate"].startswith("Basic ")
        assert client.get(ZIP, headers=basic("11111", boards.passwords["11111"].upper())).status_code == 200
        assert client.get(ZIP, headers=basic("11111", "wrong")).status_code == 401
        assert client.get(ZIP, headers=basic("22222", boards.passwords["22222"])).status_code == 404


def test_what_is_not_there_and_what_is_anothers_look_the_same(boards: Boards, client: TestClient) -> None:
    paths = (
        f"/rapporten/22222/{CAMPAIGN}/Rapportages.zip",
        f"/rapporten/99999/{CAMPAIGN}/Rapportages.zip",
        "/rapporten/11111/2031-M/Rapportages.zip",
        "/rapporten/22222/",
        "/rapporten/99999/",
        "/rapporten/11111/x/y/z",
    )
    answers = [client.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


def test_nothing_before_publish_from_and_nothing_after_withdrawal(tmp_path: Path) -> None:
    boards = published(tmp_path)
    with browser(boards) as client:
        log_in(client, "11111", boards.passwords["11111"])
        boards.clock.forward(seconds=-1)
        page = client.get("/rapporten/11111/").text
        assert client.get(ZIP).status_code == 404
        assert "10 juni 2026, 9.00 uur" in page and "01AA00" not in page and boards.bundle("11111").sha256 not in page
        boards.clock.forward(seconds=1)
        assert client.get(ZIP).status_code == 200
        withdraw_campaign(boards.home, CAMPAIGN, "11111", "fout")
        assert client.get(ZIP).status_code == 404
        assert "Er staat nog niets voor u klaar" in client.get("/rapporten/11111/").text


def test_a_key_that_went_between_question_and_answer_is_a_404(tmp_path: Path) -> None:
    boards = published(tmp_path)
    boards.home.mortal.destroy("bundles", boards.bundle("11111").id)
    with browser(boards) as client:
        log_in(client, "11111", boards.passwords["11111"])
        assert client.get(ZIP).status_code == 404


def test_a_damaged_bundle_is_an_error_and_never_bytes(tmp_path: Path) -> None:
    boards = published(tmp_path)
    path = boards.home.bundles / boards.bundle("11111").file
    sealed = bytearray(path.read_bytes())
    sealed[-1] ^= 1
    path.write_bytes(sealed)
    with TestClient(
        create_app(boards.home), base_url="https://testserver", raise_server_exceptions=False, follow_redirects=False
    ) as client:
        log_in(client, "11111", boards.passwords["11111"])
        answer = client.get(ZIP, headers={"Accept": "text/html"})
    assert answer.status_code == 500 and "Er ging iets mis bij ons" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert boards.audit("bundle.downloaded") == []
