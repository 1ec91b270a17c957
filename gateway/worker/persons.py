"""A new population register: imported, and at the same moment whom the objections in force are about.

Only the import sees the numbers, and only it can make the MACs of every campaign's objections from them. So that none is missed the new
register becomes the live one in the change that says whom they are about, and only when it was asked about each that is in force then.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from sqlmodel import Session

from gateway.registers.objections import ObjectionsSought
from gateway.registers.persons import ImportFacts, import_persons, seek
from gateway.store.alone import alone_in
from gateway.store.campaigns import campaigns
from gateway.store.drops import live_register
from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import RegisterVersion
from gateway.store.objecting_persons import add_persons, lock_objections
from gateway.store.objections import objections_in_force
from gateway.store.registry import new_version
from gateway.store.takeover import OBJECTIONS
from keys.secret import Secret
from policies.errors import Refused

#: of registers' keys, in the store of keys that must die
REGISTERS = "registers"

#: campaign → (id, MAC of BSN, MAC of onderwijsnummer)
InForce = dict[str, list[tuple[int, bytes | None, bytes | None]]]


def import_population(home: Home, file: Path, actor: str) -> tuple[ImportFacts, int]:
    """Import `file` as the population register in use; answers what that did, and how many versions it replaced. What raises leaves the one
    before in use, unless the ledger took the new one. Refused (`import-busy`) while another is imported. The numbers go no further than
    this."""
    # another would take the key of this one for what a crash left
    with alone_in(home.registers, Refused("import-busy", "Another population register is being imported.", "Wait until that is done.")):
        _forget_unused(home)
        name = home.clock().strftime("%Y%m%dT%H%M%S%f")
        home.mortal.create(REGISTERS, name, Secret(os.urandom(32)))
        try:
            return _import(home, file, name, home.registers / f"persons-{name}.parquet", actor)
        finally:
            _forget_unused(home)  # what this one replaced, or what is left of it


def _import(home: Home, file: Path, name: str, target: Path, actor: str) -> tuple[ImportFacts, int]:
    with home.ledger.view() as session:
        asked = _in_force(home, session)
    found: dict[int, set[str]] = {}
    with file.open("rb") as source:
        facts = import_persons(source, home.mortal.read(REGISTERS, name), target, sought := _sought(home, asked))
    while True:
        found |= sought.found
        with home.ledger.change(actor) as change:
            lock_objections(change.session)
            now = _in_force(home, change.session)
            if not (new := _less(now, asked.values())):
                older = new_version(change, _version(change, facts, name, target))
                _state(home, change, now, found)
                return facts, len(older)
        with file.open("rb") as source:  # handed in meanwhile
            seek(source, sought := _sought(home, new))
        asked = now


def _in_force(home: Home, session: Session) -> InForce:
    """The objections of every campaign whose registers have not ended."""
    living = [campaign.name for campaign in campaigns(session) if home.mortal.exists(OBJECTIONS, campaign.name)]
    return {name: objections_in_force(session, name) for name in living}


def _less(now: InForce, asked: Iterable[list[tuple[int, bytes | None, bytes | None]]]) -> InForce:
    known = {row[0] for rows in asked for row in rows}
    new = {name: [row for row in rows if row[0] not in known] for name, rows in now.items()}
    return {name: rows for name, rows in new.items() if rows}


def _sought(home: Home, objections: InForce) -> ObjectionsSought:
    sought = ObjectionsSought()
    for name, rows in objections.items():
        sought.add(home.objection_key(name), rows)
    return sought


def _state(home: Home, change: Change, objections: InForce, found: dict[int, set[str]]) -> None:
    pseudonyms = home.pseudonyms("person")
    for name, rows in objections.items():
        about = {row[0]: set(pseudonyms.many(sorted(found.get(row[0], ())))) for row in rows}
        add_persons(change, name, about)


def _version(change: Change, facts: ImportFacts, name: str, target: Path) -> RegisterVersion:
    return RegisterVersion(
        kind="persons",
        reference_date=facts.reference_date,
        rows=facts.rows,
        sha256=facts.sha256,
        file=target.name,
        key_name=name,
        imported_at=change.now,
    )


def _forget_unused(home: Home) -> None:
    """End every register but the one that the ledger says is in use, also what imports left that were cut off: its key first, then its
    file."""
    with home.ledger.view() as session:
        live = live_register(session, "persons")
    for name in home.mortal.names(REGISTERS):
        if live is None or name != live.key_name:
            home.mortal.destroy(REGISTERS, name)
    for file in home.registers.glob("persons-*.parquet"):
        if live is None or file.name != live.file:
            unlink_durably(file)
