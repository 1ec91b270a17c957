"""What may still identify somebody, and until when: as the ledger tells it, and what the files tell without it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from sqlmodel import select

from gateway.intake.files.names import UPLOAD_FOLDERS
from gateway.store.drop_keys import held_keys
from gateway.store.drops import holding
from gateway.store.home import Home
from gateway.store.models import Campaign
from gateway.store.takeover import OBJECTIONS
from gateway.worker.objection_end import ends_from
from policies.errors import NotFound
from policies.retention import WARN_DAYS, epoch_end, erase_before, is_due, nearness

#: deadline → what to say of it, by `nearness`
ATTENTION: dict[int | None, str] = {None: "", 0: "overdue", **{days: f"{days} day{'s' if days > 1 else ''}" for days in WARN_DAYS}}
#: keyed MACs of nine-digit numbers can be enumerated by whoever has their key; it ends with an event, not on a day
WITHOUT_DEADLINE = {"registers": ("register key", "until replaced"), OBJECTIONS: ("objection key", "until campaign over")}


@dataclass(frozen=True)
class Material:
    """One thing that may identify somebody; times in UTC."""

    kind: str
    name: str
    since: datetime
    deadline: datetime | None = None
    vendor: str = ""
    state: str = ""
    warn: bool = True

    def hours_left(self, now: datetime) -> int | None:
        """Until the deadline [h], rounded down; negative when it has passed."""
        return None if self.deadline is None else int((self.deadline - now).total_seconds() // 3600)

    def soonest_first(self) -> tuple[bool, datetime, str]:
        return self.deadline is None, self.deadline or self.since, self.name

    def row(self, now: datetime) -> dict[str, object]:
        near = None if self.deadline is None else nearness(self.deadline, now) if self.warn or is_due(self.deadline, now) else None
        return {
            "kind": self.kind,
            "name": self.name,
            "vendor": self.vendor,
            "state": self.state,
            "since": self.since,
            "erase_before": self.deadline,
            "hours_left": self.hours_left(now),
            "attention": ATTENTION[near],
        }


def from_ledger(home: Home) -> Iterator[Material]:
    """The drops whose delivered bytes may still be on disk, and the registers of who objected."""
    with home.ledger.view() as session:
        for drop in holding(session):
            yield Material("drop", drop.id, drop.received_at, drop.erase_before, drop.vendor, f"{drop.state}, {drop.raw}")
        campaigns = {campaign.name: campaign for campaign in session.exec(select(Campaign))}
        for key in _lasting(home, OBJECTIONS):
            if (campaign := campaigns.get(key.name)) is None or campaign.objections_ended_at is not None:
                yield replace(key, state="of no campaign")
            else:
                yield replace(key, state=f"until {ends_from(campaign)} and the end of its last drop")


def from_files(home: Home, without_ledger: bool) -> Iterator[Material]:
    """Epoch keys, unfinished uploads, keys of MACs; `without_ledger` also what the ledger would tell more of: the drops, by the facts
    beside their keys, and keys of objections."""
    today, window = home.clock().astimezone(UTC).date(), home.config.retention.window_days
    if without_ledger:
        for key in held_keys(home.mortal):
            yield Material("drop", key.drop, key.received_at, erase_before(key.received_at, window), key.vendor, "not known")
    for day in home.epochs.days():
        if day <= today:  # nothing was received yet under those of the days ahead
            yield Material("epoch key", day.isoformat(), datetime.combine(day, time(), UTC), epoch_end(day, window))
    yield from unfinished(home)
    yield from _lasting(home, "registers")
    if without_ledger:
        yield from _lasting(home, OBJECTIONS)


def _lasting(home: Home, kind: str) -> Iterator[Material]:
    called, ends = WITHOUT_DEADLINE[kind]
    for name in home.mortal.names(kind):
        try:
            yield Material(called, name, home.mortal.created_at(kind, name), state=ends)
        except NotFound:  # destroyed meanwhile
            continue


def unfinished(home: Home) -> Iterator[Material]:
    """Since when nothing arrived of it: from then on its time counts."""
    keep = timedelta(days=home.config.intake.unfinished_keep_days)
    for vendor in sorted(path.name for path in (home.path / "incoming").iterdir() if path.is_dir()):
        for folder in UPLOAD_FOLDERS:
            for blob in sorted(home.incoming(vendor, folder).glob("*.blob")):
                try:
                    since = datetime.fromtimestamp(blob.stat().st_mtime, UTC)
                except FileNotFoundError:  # finished meanwhile
                    continue
                yield Material("unfinished upload", blob.stem, since, since + keep, vendor, folder, warn=False)
