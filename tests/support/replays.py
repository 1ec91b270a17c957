"""Entries of the audit log, played on the ledger of a backup."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import select

from audit.entry import Entry
from gateway.store.home import Home
from gateway.store.ledger import Ledger
from gateway.store.replay import Replay

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def played(home: Home, *entries: tuple[str, str, dict[str, Any]]) -> Replay:
    """These entries (action, object, detail), an hour apart from NOW on."""
    with home.ledger.change("restore") as change:
        replay = Replay(home, change)
        replay.play(
            Entry(f"{number:014x}-00001-x", NOW + timedelta(hours=number), "administrator", "local", action, object, "ok", detail)
            for number, (action, object, detail) in enumerate(entries)
        )
    return replay


def all_of(ledger: Ledger, table: Any) -> list[Any]:
    with ledger.view() as session:
        return list(session.exec(select(table)))
