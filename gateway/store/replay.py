"""What a restore makes of the entries that the audit log has and the backup has not.

REPLAY says it for each action that the product logs (a test compares). Where the log tells all of it, it becomes true again; what opened
a door and is not in the log stays shut; the rest is told to an administrator, who does it again. An action that is not in the table is
refused: who does not know what happened can't make it true.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete
from sqlmodel import col

from audit.entry import Entry
from gateway.drop.lifecycle import Effect, Event, Raw, RawEvent, State, next_raw, next_state
from gateway.store.counting import forget_replaced
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import (
    Board,
    Bundle,
    Campaign,
    Drop,
    Enrolment,
    Part,
    VendorCa,
    VendorKey,
    VendorSigningKey,
)
from gateway.store.replay_access import (
    credential_ended,
    host_key_retired,
    key_extended,
    recipient_gone,
    recipient_made,
    revoked,
    signing_key_added,
    vendor_added,
    vendor_closed,
    vendor_told,
)
from gateway.store.replay_objections import Removed, register_lost, registers_ended, report_touched, rows_withdrawn
from policies.errors import Refused, Unsound
from policies.retention import erase_before


@dataclass
class Replay:
    """A replay under way, in one change of the restored ledger."""

    home: Home
    change: Change
    #: what an administrator has to do again → the objects of which
    again: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    #: (campaign, school) → what the log tells of the newest register that the backup has not
    registers: dict[tuple[str, str], Entry] = field(default_factory=dict)
    #: drop → which rows went out of its part since the backup, one withdrawal after the other
    removed: dict[str, list[Removed]] = field(default_factory=dict)
    #: drops of which something changed since the backup
    drops: set[str] = field(default_factory=set)
    entries: int = 0

    def play(self, entries: Iterable[Entry]) -> None:
        """Each in the log's order. Unsound: `replay-unknown`, `replay-contradicted`."""
        for entry in entries:
            rule = rule_of(entry.action)
            try:
                whole = rule.play is not None and rule.play(self, entry)
            except (KeyError, ValueError, Refused):  # nothing of the entry's own text: it is on a way that nobody foresaw
                raise Unsound(
                    "replay-contradicted",
                    f"Entry {entry.id} of the log does not fit what the backup holds.",
                    "Is it the log of this gateway?",
                ) from None
            if rule.again and not whole:
                self.again[entry.action, rule.again].add(str(entry.detail.get("campaign") or entry.object))
            self.entries += 1


#: plays an entry; answers whether nothing of it is left to be done again
Player = Callable[[Replay, Entry], bool]


@dataclass(frozen=True)
class Rule:
    play: Player | None = None
    #: for an administrator, when it is not played or not wholly
    again: str = ""


def rule_of(action: str) -> Rule:
    """Unsound (`replay-unknown`) for an action that is not in the table."""
    rule = REPLAY.get("sftp." if action.startswith("sftp.") else action)
    if rule is None:
        raise Unsound(
            "replay-unknown", "The log tells of something that this version does not know.", "Restore with the version that wrote it."
        )
    return rule


# ---------------------------------------------------------------- drops


def _received(replay: Replay, entry: Entry) -> bool:
    """A delivery that the backup does not know: it is entered, so that its vendor hears what became of it."""
    told: Any = entry.detail
    vendor_told(replay, told["vendor"], entry)
    drop = Drop(
        id=entry.object,
        vendor=told["vendor"],
        folder=told["folder"],
        file_name="",  # the log keeps no names of files
        state=State.RECEIVED,
        raw=Raw.HELD,
        bytes=told["bytes"],
        sha256=told["sha256"],
        received_at=entry.time,
        epoch=date.fromisoformat(told["epoch"]),
        erase_before=erase_before(entry.time, replay.home.config.retention.window_days),
    )
    replay.change.session.add(drop)
    replay.change.session.flush()
    replay.drops.add(drop.id)
    return True


def _drop(replay: Replay, entry: Entry) -> Drop:
    if (drop := replay.change.session.get(Drop, entry.object)) is None:
        raise KeyError("the backup does not know it, and the log does not tell that it was received")
    return drop


def _advanced(replay: Replay, entry: Entry) -> bool:
    drop = _drop(replay, entry)
    drop.state = next_state(State(drop.state), Event(str(entry.detail["event"])))
    campaign = entry.detail.get("campaign")
    if isinstance(campaign, str) and replay.change.session.get(Campaign, campaign) is not None:
        drop.campaign = campaign
    drop.waiting_for = []
    replay.drops.add(drop.id)
    return True


def _taken_back(replay: Replay, entry: Entry) -> bool:
    """Its results, which the backup may have, count no more; their file goes as soon as the worker runs."""
    _advanced(replay, entry)
    replay.change.session.execute(delete(Part).where(col(Part.drop) == entry.object))
    forget_replaced(replay.change, entry.object)
    replay.change.ask(entry.object, Effect.ERASE)
    return True


def _erasure(event: RawEvent) -> Player:
    def play(replay: Replay, entry: Entry) -> bool:
        drop = _drop(replay, entry)
        drop.raw = next_raw(State(drop.state), Raw(drop.raw), event)
        if drop.raw == Raw.ERASED:
            drop.erased_at = entry.time
        replay.drops.add(drop.id)
        return True

    return play


# ---------------------------------------------------------------- what was published, agreed, handed in


def _published(replay: Replay, entry: Entry) -> bool:
    """A bundle that the backup does not know: entered, so that no other one is ever made under its name. It was lost with its key."""
    told: Any = entry.detail
    if replay.change.session.get(Campaign, told["campaign"]) is None or replay.change.session.get(Board, entry.object) is None:
        return False
    if replay.change.session.get(Bundle, told["bundle"]) is None:
        bundle = Bundle(
            id=told["bundle"],
            campaign=told["campaign"],
            board=entry.object,
            version=told["version"],
            reason=told["reason"] or "",
            file=told["bundle"],
            bytes=told["bytes"],
            sha256=told["sha256"],
            visible_from=datetime.fromisoformat(told["visible_from"]),
            created_at=entry.time,
        )
        replay.change.session.add(bundle)
        replay.change.session.flush()
    return False


def _withdrawn(replay: Replay, entry: Entry) -> bool:
    bundle = replay.change.session.get(Bundle, str(entry.detail["bundle"]))
    if bundle is not None:
        bundle.withdrawn_at = entry.time
    return True


def _enrolled(replay: Replay, entry: Entry) -> bool:
    """Through whom a board consents decides what is taken: it must not be an older consent."""
    told: Any = entry.detail
    session = replay.change.session
    if session.get(Campaign, told["campaign"]) is None or session.get(Board, entry.object) is None:
        return False
    vendor_told(replay, told["vendor"], entry)
    days = {name: date.fromisoformat(told[name]) if told[name] else None for name in ("contract_on", "form_on")}
    session.merge(Enrolment(campaign=told["campaign"], board=entry.object, vendor=told["vendor"], **days))
    return True


def _rescheduled(replay: Replay, entry: Entry) -> bool:
    """Other days of a campaign. One that the backup does not know is made again with the days that it has now."""
    campaign = replay.change.session.get(Campaign, entry.object)
    if campaign is None:
        return False
    for day, text in entry.detail.items():
        setattr(campaign, day, datetime.fromisoformat(str(text)) if day == "publish_from" else date.fromisoformat(str(text)))
    return True


# ---------------------------------------------------------------- the table

#: the backup lost nothing by it, or another entry tells what came of it; ends of keys are gateway/store/takeover.py's
NOTHING = Rule()

REPLAY: dict[str, Rule] = {
    "bundle.downloaded": NOTHING,
    "bundle.key-destroyed": NOTHING,
    "bundle.published": Rule(_published, "sluis publish --campaign NAME --reason TEXT"),
    "bundle.withdrawn": Rule(_withdrawn),
    "campaign.changed": Rule(_rescheduled, "sluis campaign change"),
    "campaign.created": Rule(again="sluis campaign create"),
    "clock.follow-begun": NOTHING,
    "clock.followed": NOTHING,
    "clock.jumped": NOTHING,
    "credential.issued": Rule(credential_ended, "sluis credential issue BOARD"),
    "credential.revoked": Rule(credential_ended),
    "dataset.export-begun": NOTHING,
    "dataset.exported": NOTHING,
    "drop.accepted": Rule(_advanced),
    "drop.adopted": NOTHING,
    "drop.deadline-near": NOTHING,
    "drop.erase-ordered": NOTHING,
    "drop.erasure-begun": Rule(_erasure(RawEvent.ERASURE_BEGUN)),
    "drop.erasure-failed": NOTHING,
    "drop.erasure-verified": Rule(_erasure(RawEvent.ERASURE_VERIFIED)),
    "drop.expired": Rule(_advanced),
    "drop.incomplete": Rule(_advanced),
    "drop.key-destroyed": NOTHING,
    "drop.key-destruction-begun": NOTHING,
    "drop.linked": Rule(_advanced),
    "drop.received": Rule(_received),
    "drop.registered": Rule(_advanced),
    "drop.rejected": Rule(_advanced),
    "drop.scanned": NOTHING,
    "drop.waiting": NOTHING,
    "drop.withdrawn": Rule(_taken_back),
    "effect.failed": NOTHING,
    "enrolment.recorded": Rule(_enrolled, "sluis enrol add"),
    "epoch.destroyed": NOTHING,
    "epoch.destruction-begun": NOTHING,
    "home.backed-up": NOTHING,
    "home.backup-begun": NOTHING,
    "home.created": NOTHING,
    "home.restored": NOTHING,
    "key.adopted": NOTHING,
    "key.announced": Rule(again="sluis key rotate ssh-host"),
    "key.destroyed": Rule(recipient_gone),
    "key.destruction-begun": NOTHING,
    "key.entered": NOTHING,
    "key.lost": Rule(recipient_gone),
    "key.made": Rule(recipient_made),
    "key.retired": Rule(host_key_retired, "sluis key rotate ssh-host, and tell vendors that the host key changes once more"),
    "key.rotated": Rule(recipient_made),
    "login": NOTHING,
    "objections.ended": Rule(registers_ended),
    "objections.handed-in": Rule(register_lost),
    "objections.late": Rule(again="sluis objection add"),
    "policy.changed": Rule(again="put the file policies/nco_lvs.toml of the home back"),
    "portal.login": NOTHING,
    "portal.logout": NOTHING,
    "register.imported": Rule(again="sluis register"),
    "report.removed": NOTHING,
    "report.touched": Rule(report_touched),
    "reports.kept": Rule(again="sluis report build, or sluis report import"),
    "results.replaced": NOTHING,
    "results.rows-withdrawn": Rule(rows_withdrawn),
    "results.withdrawn": NOTHING,
    "sftp.": NOTHING,
    "upload.expired": NOTHING,
    "vendor.added": Rule(vendor_added, "sluis vendor add NAME --ssh-key FILE"),
    "vendor.ca-added": Rule(again="sluis vendor ca add"),
    "vendor.ca-removed": Rule(revoked(VendorCa, "ca")),
    "vendor.key-added": Rule(again="sluis vendor key add"),
    "vendor.key-extended": Rule(key_extended),
    "vendor.key-revoked": Rule(revoked(VendorKey, "key")),
    "vendor.limits-set": Rule(again="sluis vendor limit set"),
    "vendor.removed": Rule(vendor_closed),
    "vendor.signing-key-added": Rule(signing_key_added, "sluis vendor signing-key add NAME FILE"),
    "vendor.signing-key-removed": Rule(revoked(VendorSigningKey, "key")),
    "vendor.revoked": Rule(
        vendor_closed, "sluis vendor ca revoke with all that was revoked, and only then sluis vendor add NAME --ssh-key FILE"
    ),
}
