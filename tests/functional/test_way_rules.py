"""An administrator's additions on the whole way: a running gateway takes them up, vendors find them, deliveries are checked by them."""

from pathlib import Path

import pytest

from gateway.store.rules import HANDED_TO_VENDORS, additions_file
from tests.support.deliveries import COLUMNS, write_csv
from tests.support.exchange import exchange
from tests.support.gateway import Gateway, started
from tests.support.pupils import delivery, objections, results

pytestmark = pytest.mark.slow

PUBLISHER = """publishers = ["bureau_ice"]

[[tests]]
pattern = 'ICE-(?P<moment>[ME][3-8])'
publisher = "bureau_ice"
domain = "spelling"

[[scales]]
publisher = "bureau_ice"
range = [0, 700]
"""


def take_up(gateway: Gateway, text: str) -> bytes:
    """Put additions in the home of the running gateway; answers what vendors find once they do."""
    additions_file(gateway.home).write_text(text)

    def handed() -> bytes | None:
        if HANDED_TO_VENDORS not in gateway.door().sftp.listdir("sleutels"):
            return None
        with gateway.door().sftp.open(f"sleutels/{HANDED_TO_VENDORS}", "rb") as file:
            found: bytes = file.read()
        return found if found == text.encode() else None

    return gateway.wait(handed, "vendors find the additions")


def test_a_publisher_that_an_administrator_adds_is_taken_without_a_restart(tmp_path: Path) -> None:
    with started(tmp_path) as gateway:
        rows = [row for row in results(gateway.at("41AA00"), gateway.today) if row["domein"] == "spelling"]
        table = [{**row, "uitgever": "bureau_ice", "toetscode": f"ICE-{row['afnamemoment']}"} for row in rows]
        plain = write_csv(table, COLUMNS)
        gateway.door().deliver("voor.csv.age", gateway.sealed(plain))
        (before,) = gateway.settled(["voor.csv.age"], ("rejected",))
        assert {"code", "too-many-refused"} <= {found["rule"] for found in before.findings}

        (tmp_path / "sluis.regels.toml").write_bytes(take_up(gateway, PUBLISHER))
        assert gateway.sluis("policy", "show")["taken_up"] is True
        (tmp_path / "na.csv").write_bytes(plain)
        assert gateway.sluis("deliver", "check", tmp_path / "na.csv", status=1)["refused"]
        checked = gateway.sluis("deliver", "check", tmp_path / "na.csv", "--rules", tmp_path / "sluis.regels.toml")
        assert not checked["refused"]

        gateway.door().deliver("na.csv.age", gateway.sealed(plain))
        gateway.door().deliver("na.zip.age", gateway.sealed(exchange(table)))
        for drop in gateway.settled(["na.csv.age", "na.zip.age"], ("accepted", "linked")):
            assert (drop.counts["accepted_rows"], drop.findings_total) == (len(table), checked["findings_total"])


def test_a_drop_with_objecting_pupils_is_refused_where_the_policy_says_so_and_the_incident_is_listed(tmp_path: Path) -> None:
    with started(tmp_path) as gateway:
        take_up(gateway, 'objecting_pupils = "reject"\n')
        here = gateway.at("41AA00")
        gateway.door().deliver("bezwaren.csv.age", gateway.sealed(objections(["41AA00"], here[:2], gateway.today)), "bezwaren")
        gateway.settled(["bezwaren.csv.age"])
        gateway.door().deliver("alle.csv.age", gateway.sealed(delivery(here, gateway.today)))
        (drop,) = gateway.settled(["alle.csv.age"], ("rejected",))
        (told,) = gateway.receipt(drop)["findings"]
        assert told["rule"] == "objecting-pupils-refused" and told["message"].startswith("24 rijen ")
        status = gateway.sluis("objection", "status", "--campaign", drop.campaign)
        (incident,) = [one for row in status["schools"] for one in row["incidents"]]
        assert (incident["drop"], incident["outcome"], incident["pupils"]) == (drop.id, "rejected", 2)
        gateway.door().deliver("zonder.csv.age", gateway.sealed(delivery(here[2:], gateway.today)))
        gateway.settled(["zonder.csv.age"], ("accepted", "linked"))
