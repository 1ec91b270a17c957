"""One campaign's objections, from the first to the end of its registers, by the real roles: what is stripped, withdrawn, taken back, told.

A parent may object on any day. What that does depends on how far the pupil's results have come: not linked yet, in the store, in a bundle
that nobody sees yet, in one that a board has.
"""

import base64
import io
import json
import ssl
import urllib.request
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlmodel import func, select

from gateway.cli.results import results_that_count
from gateway.store.invariants import check_home
from gateway.store.models import Objection, ObjectionPerson
from policies.errors import NotFound
from tests.support.gateway import CAMPAIGN, Calendar, Gateway
from tests.support.machines import gateway_time_ahead
from tests.support.pupils import Pupil, delivery, objections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SCHOOL, OTHER, BOARD = "41AA00", "41AB00", "41001"
#: results of a pupil (tests/support/pupils.py)
EACH = 12


class Story:
    """The gateway, and what somebody sees who asks it something."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.pupils = gateway.at(SCHOOL)
        self.password = ""

    def sluis(self, *arguments: object, status: int = 0, given: str = "") -> Any:
        return self.gateway.sluis(*arguments, status=status, given=given)

    def registered(self, name: str, objecting: list[Pupil], withdrawn: list[Pupil] | None = None) -> None:
        """The school's register, by SFTP; read when this returns."""
        register = objections([SCHOOL, OTHER], objecting, self.gateway.today, withdrawn or [])
        self.gateway.door().deliver(name, self.gateway.sealed(register), "bezwaren")
        self.gateway.settled([name], ["registered"])

    def delivered(self, name: str, *schools: str) -> None:
        self.gateway.door().deliver(name, self.gateway.sealed(delivery(self.gateway.at(*schools), self.gateway.today)))

    def object(self, pupil: Pupil) -> dict[str, Any]:
        """By letter to the authority."""
        answer: dict[str, Any] = self.sluis("objection", "add", SCHOOL, "--campaign", CAMPAIGN, given=pupil.bsn or pupil.onderwijsnummer)
        return answer

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.sluis("objection", "status", "--campaign", CAMPAIGN)
        return answer

    def school(self) -> dict[str, Any]:
        return next(row for row in self.status()["schools"] if row["school"] == SCHOOL)

    def in_store(self) -> dict[str, int]:
        """Results that count, by person id of the population register."""
        home = self.gateway.home
        with results_that_count(home) as (results, _):
            counted = dict(results.group_by("persoon").agg(pl.len()).collect().iter_rows())
        return {home.pseudonyms("person").reveal(person): rows for person, rows in counted.items()}

    def everybody_but(self, *pupils: Pupil) -> dict[str, int]:
        return {one.person: EACH for one in self.gateway.at(SCHOOL, OTHER) if one not in pupils}

    def bundles(self) -> list[str]:
        return [name for name in self.gateway.home.mortal.names("bundles") if name.startswith(BOARD)]

    def publish(self, *reason: str) -> None:
        self.sluis("report", "build", "--campaign", CAMPAIGN)
        self.sluis("publish", "--campaign", CAMPAIGN, *(("--reason", *reason) if reason else ()))

    def manifest(self) -> dict[str, Any] | None:
        """Of the board's zip, as it downloads it; None while it has none."""
        context = ssl.create_default_context(cafile=str(self.gateway.home.public / "portal.pem"))
        address = f"https://localhost:{self.gateway.portal_port}/rapporten/{BOARD}/{CAMPAIGN}/Rapportages.zip"
        name = base64.b64encode(f"{BOARD}:{self.password}".encode()).decode()
        request = urllib.request.Request(address, headers={"Authorization": f"Basic {name}"})
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                found: dict[str, Any] = json.loads(zipfile.ZipFile(io.BytesIO(answer.read())).read("manifest.json"))
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return None
        return found

    def days_later(self, days: int) -> None:
        """Everything stops, and starts again so much later."""
        self.gateway.stop()
        gateway_time_ahead(self.gateway.home.path, timedelta(days=days))
        self.gateway.start()


def test_a_parent_may_object_on_any_day(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, Calendar(publish_from=2))
    story = Story(gateway)
    first, second, third, fourth, fifth = story.pupils[:5]
    gateway.start()
    try:
        # before linking: the window for objections is closed, and the drop waits for the school's answer
        story.delivered("levering.csv.age", SCHOOL, OTHER)
        gateway.settled(["levering.csv.age"], ["accepted"])
        story.registered("bezwaar.csv.age", [first])
        [drop] = gateway.settled(["levering.csv.age"], ["linked"])
        assert story.in_store() == story.everybody_but(first)
        assert gateway.receipt(drop)["counts"]["objected_pupils"] == 1
        incidents = [(one["drop"], one["vendor"], one["outcome"], one["pupils"]) for one in story.school()["incidents"]]
        assert incidents == [(drop.id, "cito", "stripped", 1)]

        # in the store: the results go at once
        assert story.object(second)["withdrawn_results"] == EACH
        assert story.in_store() == story.everybody_but(first, second)
        assert (story.school()["withdrawn_results"], story.school()["withdrawn_persons"]) == (EACH, 1)

        # in a bundle that nobody sees yet: it is taken back, and nothing is published before its reports are built anew
        story.publish()
        story.password = story.sluis("credential", "issue", BOARD)[0]["password"]
        [bundle] = story.bundles()
        story.registered("bezwaar-2.csv.age", [first, second, third])
        gateway.wait(lambda: story.bundles() == [], "the bundle's key is gone")
        assert not (gateway.home.bundles / bundle).exists()
        assert story.in_store() == story.everybody_but(first, second, third)
        assert story.school()["touched_report"]["report"] == "to be built anew"
        assert "1 report of ronde-1" in story.sluis("publish", "--campaign", CAMPAIGN, "--reason", "x", status=1)
        story.publish("een bezwaar")
        assert story.school()["touched_report"] is None and len(story.bundles()) == 1
        assert story.manifest() is None, "not yet"

        # an objection that is withdrawn lets the next delivery through
        story.registered("bezwaar-3.csv.age", [second, third], withdrawn=[first])
        assert story.in_store() == story.everybody_but(first, second, third), "nothing comes back by itself"
        story.delivered("levering-2.csv.age", SCHOOL)
        [again] = gateway.settled(["levering-2.csv.age"], ["linked"])
        assert story.in_store() == story.everybody_but(second, third)
        assert gateway.receipt(again)["counts"]["objected_pupils"] == 2
        assert story.status()["totals"]["incidents"] == 2

        # in a bundle that the board has: the operator sees it, and decides
        story.days_later(3)
        shown = story.manifest()
        assert shown is not None and shown["version"] == 2
        registers = {row["school"]: row["objection_register"] for row in shown["files"] if row.get("kind") == "growth"}
        assert registers == {SCHOOL: 3, OTHER: 2}, "those of when the reports were built"
        assert story.object(fourth)["withdrawn_results"] == 2 * EACH, "out of both deliveries"
        assert story.school()["touched_report"]["report"] == "published; to be built anew"
        told = {row["check"]: row for row in story.sluis("doctor", status=3)}["objections"]
        assert not told["ok"] and f"sluis report build --campaign {CAMPAIGN}" in told["do"]
        assert story.manifest() == shown, "the board keeps what it has until somebody decides"
        story.publish("nog een bezwaar")
        assert (replaced := story.manifest()) is not None and (replaced["version"], replaced["reason"]) == (3, "nog een bezwaar")
        assert story.school()["touched_report"] is None

        # the register ends with its campaign; who objects later is still taken out, and nothing is kept of it
        story.days_later(20)
        gateway.wait(lambda: story.status()["registers"] == "ended", "the registers have ended")
        with gateway.home.ledger.view() as session:
            kept = [session.exec(select(func.count()).select_from(table)).one() for table in (Objection, ObjectionPerson)]
        assert kept == [0, 0]
        with pytest.raises(NotFound):
            gateway.home.objection_key(CAMPAIGN)
        assert story.school()["objections"] == 3, "how many there were stays a fact"
        late = story.object(fifth)
        assert (late["withdrawn_results"], late["register_version"]) == (2 * EACH, None)
        assert story.in_store() == story.everybody_but(second, third, fourth, fifth)
        with gateway.home.ledger.view() as session:
            assert session.exec(select(func.count()).select_from(Objection)).one() == 0
        assert story.school()["touched_report"]["report"] == "published; to be built anew"
        assert story.sluis("audit", "verify")["sound"]
    finally:
        gateway.stop()
    assert check_home(gateway.home) == []
    said = "".join((gateway.folder / name).read_text() for name in ("commands.log", "serve.log"))
    assert not any(number in said for pupil in story.pupils for number in (pupil.bsn, pupil.onderwijsnummer) if number)
