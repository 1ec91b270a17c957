"""The registrar: what is durable is in the ledger once, whatever the ledger does meanwhile, and vendors are not kept waiting for it."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from gateway.drop.ids import RANDOM_BYTES, drop_id
from gateway.drop.lifecycle import Event, State
from gateway.intake.files.manifest import Manifest, read_manifest, with_manifest
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front import registrar as module
from gateway.intake.front.registrar import Registrar
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import EffectRow, Vendor
from keys.secret import Secret
from tests.support.intake import audit_rows, drops, make_home

#: a sealed key is binary, and may hold what ends a line
SEALED = b"age\n\x01\x00\n" + bytes(range(1, 200))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = make_home(tmp_path)
    with home.ledger.change("administrator") as change:
        for name in ("cito", "boom"):
            change.session.add(Vendor(name=name, created_at=change.now))
    return home


def durable(home: Home, name: str = "x.age", vendor: str = "cito", **changes: Any) -> Manifest:
    """A manifest on disk, as a close leaves it beside the sealed key."""
    now = home.clock()
    identity = drop_id(now, secrets.token_bytes(RANDOM_BYTES))
    day = now.astimezone(UTC).date().isoformat()
    changes = {"sealed": hashlib.sha256(SEALED).hexdigest(), **changes}
    manifest = Manifest(identity, "u", vendor, "leveringen", name, 5, "ab" * 32, now.isoformat(), day, "rabc", "192.0.2.7", **changes)
    home.mortal.create(DROP_KEYS, identity, with_manifest(manifest, Secret(SEALED)))
    return manifest


def run(home: Home, what: Callable[[Registrar], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        registrar = Registrar(home)
        registrar.start()
        try:
            return await what(registrar)
        finally:
            await registrar.stop()

    return asyncio.run(whole())


def told(home: Home, *manifests: Manifest) -> None:
    async def what(registrar: Registrar) -> None:
        for manifest in manifests:
            registrar.add(manifest)
        await registrar.settled()

    run(home, what)


class Away:
    """A ledger that can't be reached: every transaction fails at its commit, or, with `lost`, after it."""

    def __init__(self, home: Home, lost: bool = False) -> None:
        self.engine = home.ledger.engine
        self.times = 0
        self.lost = lost

    def __enter__(self) -> "Away":
        event.listen(self.engine, "commit", self._refuse)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "commit", self._refuse)

    def _refuse(self, connection: Any) -> None:
        if not connection.get_execution_options().get("sluis_change"):
            return
        self.times += 1
        if self.lost:
            connection.connection.cursor().execute("COMMIT")
        raise OperationalError("commit", {}, Exception("the server closed the connection"))


def test_the_ledger_gets_everything_of_a_drop(home: Home) -> None:
    manifest = durable(home, notices=["limit-day-files"])
    told(home, manifest)
    (drop,) = drops(home)
    assert (drop.id, drop.vendor, drop.file_name, drop.state, drop.bytes) == (manifest.id, "cito", "x.age", State.RECEIVED, 5)
    assert (drop.request, drop.notices) == ("rabc", ["limit-day-files"])
    assert drop.erase_before == drop.received_at + timedelta(days=home.config.retention.window_days)
    (entry,) = audit_rows(home, "drop.received")
    assert (entry.actor, entry.origin, entry.object, entry.detail["bytes"]) == ("vendor:cito", "192.0.2.7", drop.id, 5)
    with home.ledger.view() as session:
        effects = session.exec(select(EffectRow)).all()
    assert sorted((row.drop, row.kind) for row in effects) == [(drop.id, "check"), (drop.id, "receipt")]


def test_many_become_known_in_few_transactions(home: Home) -> None:
    manifests = [durable(home, f"{number}.age") for number in range(300)]

    async def what(registrar: Registrar) -> int:
        for manifest in manifests:
            registrar.add(manifest)
        await registrar.settled()
        return registrar.batches

    assert run(home, what) == 2
    assert {drop.id for drop in drops(home)} == {manifest.id for manifest in manifests}
    assert len({row.id for row in audit_rows(home, "drop.received")}) == 300


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "done, and the answer lost"])
def test_a_ledger_that_is_away_is_told_later_and_once(home: Home, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    monkeypatch.setattr(module, "BACK_OFF", (0.01, 0.02))
    manifests = [durable(home, f"{number}.age") for number in range(3)]

    async def what(registrar: Registrar) -> None:
        with Away(home, lost) as away:
            for manifest in manifests:
                registrar.add(manifest)
            while away.times < 4:
                await asyncio.sleep(0.001)
            assert set(home.mortal.names(DROP_KEYS)) == {manifest.id for manifest in manifests}, "the promise is kept on disk"
        await registrar.settled()

    run(home, what)
    assert len(drops(home)) == len(audit_rows(home, "drop.received")) == 3


def test_one_that_the_ledger_does_not_take_holds_up_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that is not there stands for anything that is wrong with one of them."""
    monkeypatch.setattr(module, "BACK_OFF", (0.001, 0.002))
    wrong = durable(home, vendor="nobody")
    right = [durable(home, f"{number}.age") for number in range(3)]

    async def what(registrar: Registrar) -> None:
        for manifest in (wrong, *right):
            registrar.add(manifest)
        while list(registrar.waiting) != [wrong.id]:
            await asyncio.sleep(0.001)
        with home.ledger.change("administrator") as change:
            change.session.add(Vendor(name="nobody", created_at=change.now))
        await registrar.settled()

    run(home, what)
    assert {drop.id for drop in drops(home)} == {manifest.id for manifest in (wrong, *right)}


def test_too_much_or_too_old_a_backlog_refuses_new_uploads(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF", (0.001, 0.002))
    now = [0.0]
    first = durable(home, "1.age")

    async def what() -> None:
        registrar = Registrar(home, clock=lambda: now[0])
        registrar.start()
        with Away(home) as away:
            registrar.add(first)
            while away.times < 2:
                await asyncio.sleep(0.001)
            registrar.check_not_behind()
            now[0] = module.MAX_BEHIND_SECONDS + 1
            with pytest.raises(IntakeRefused) as refused:
                registrar.check_not_behind()
            assert refused.value.code == "ledger-behind"
        await registrar.settled()
        registrar.check_not_behind()
        monkeypatch.setattr(module, "MAX_WAITING", 1)
        registrar.add(durable(home, "2.age"))
        with pytest.raises(IntakeRefused):
            registrar.check_not_behind()
        await registrar.stop()

    asyncio.run(what())


def test_what_was_cut_short_is_replaced_by_what_comes_whole(home: Home) -> None:
    cut = durable(home)
    told(home, cut)
    with home.ledger.change("worker") as change:
        change.advance(drop_of(change.session, cut.id), Event.TRUNCATED)
    whole = durable(home)
    told(home, whole)
    assert {drop.id: drop.state for drop in drops(home)} == {cut.id: State.EXPIRED, whole.id: State.RECEIVED}


def test_a_name_that_is_used_up_loses_nothing(home: Home) -> None:
    """It can't happen while one desk decides; if it does, both are kept, since both were promised."""
    told(home, durable(home))
    one, two = durable(home), durable(home)
    told(home, one, two)
    assert len(drops(home)) == 3
    assert [(row.object, row.result) for row in audit_rows(home, "drop.adopted")] == [(one.id, "name-taken"), (two.id, "name-taken")]


def test_a_manifest_comes_back_as_it_was(home: Home) -> None:
    manifest = durable(home, name="twee\nregels \u2028.age", notices=["limit-day-files"], stored="cd")
    kept = home.mortal.read(DROP_KEYS, manifest.id)
    again = read_manifest(kept)
    assert again is not None and asdict(again) == asdict(manifest)
    assert sealed_key_of(kept) == SEALED


def test_a_manifest_that_is_cut_off_anywhere_is_none(home: Home) -> None:
    whole = home.mortal.read(DROP_KEYS, durable(home).id).reveal()
    for length in range(len(whole)):
        assert read_manifest(Secret(whole[:length])) is None
        assert read_manifest(Secret(whole[:length] + bytes(len(whole) - length))) is None


def test_the_ledger_is_not_asked_when_nothing_is_new(home: Home) -> None:
    manifest = durable(home)
    told(home, manifest)
    told(home, manifest)
    assert len(drops(home)) == 1
    with home.ledger.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM effect")).scalar() == 2
