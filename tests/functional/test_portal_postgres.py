"""Publication, login and download on a real PostgreSQL."""

from pathlib import Path

import pytest

from gateway.cli.publishing import publish_campaign, withdraw_campaign
from gateway.store.config import Configuration, Database
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, add_report, browser, log_in, make_boards


@pytest.mark.postgres
def test_the_whole_way_of_a_bundle(tmp_path: Path, postgres_url: str) -> None:
    boards = make_boards(tmp_path / "home", {"11111": ["01AA00"], "22222": ["02BB00"]}, Configuration(database=Database(url=postgres_url)))
    assert publish_campaign(boards.home, CAMPAIGN).published == 2
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 beter")
    assert publish_campaign(boards.home, CAMPAIGN, "aangevuld").replaced == 1
    boards.give_credentials("11111")
    boards.give_credentials("11111")
    boards.clock.now = PUBLISH_FROM
    with browser(boards) as client:
        assert log_in(client, "11111", "wrong").status_code == 403
        assert log_in(client, "11111", boards.passwords["11111"]).status_code == 303
        assert client.get(f"/rapporten/11111/{CAMPAIGN}/Rapportages.zip").status_code == 200
        page = client.get("/rapporten/11111/").text
        assert "2: aangevuld" in page and "nog niet gedownload" not in page
        assert withdraw_campaign(boards.home, CAMPAIGN) == 2
        assert client.get(f"/rapporten/11111/{CAMPAIGN}/Rapportages.zip").status_code == 404
    boards.home.ledger.engine.dispose()
