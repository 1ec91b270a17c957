"""What a restore makes of objections and of what came of them, since the backup.

A register is not in the log, and neither is who objected: the school hands it in again. Which rows of a part went is in the log, so the
same ones go out of the part that the backup holds; and a report that held them is not published before it is built anew.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.entry import Entry
from gateway.drop.row_ranges import rows_of
from gateway.store.ledger import Change
from gateway.store.models import Campaign, ObjectionRegister, Part, Report
from gateway.store.objections import forget_objections
from gateway.store.touched import GROWTH
from policies.errors import Unsound

if TYPE_CHECKING:
    from gateway.store.home import Home
    from gateway.store.replay import Replay

#: (part, [rows by their numbers in it, then those that went next by their numbers in what was left, …]): rewrites it without them, and
#: answers how many rows are left and its digest
RemoveRows = Callable[[Path, Sequence[Collection[int]]], tuple[int, str]]


@dataclass
class Removed:
    """Rows that went out of a part at one time. `was`, `now`: the part's digests before and after."""

    was: str
    now: str
    rows: set[int]


def register_lost(replay: "Replay", entry: Entry) -> bool:
    """The newest version that the log tells of takes the place of the backup's; what it held is lost."""
    place = (str(entry.detail["campaign"]), entry.object)
    if (known := replay.registers.get(place)) is None or register_told(known).version <= register_told(entry).version:
        replay.registers[place] = entry
    return True


def register_told(entry: Entry) -> ObjectionRegister:
    """The version that was handed in, as far as the log tells of it."""
    told: Any = entry.detail
    return ObjectionRegister(
        campaign=told["campaign"],
        school=entry.object,
        version=told["version"],
        source=told["source"],
        received_at=entry.time,
        objections=told["objections"],
    )


def registers_ended(replay: "Replay", entry: Entry) -> bool:
    """Nothing tells any more who objected in that campaign."""
    if (campaign := replay.change.session.get(Campaign, entry.object)) is not None:
        campaign.objections_ended_at = entry.time
        forget_objections(replay.change.session, entry.object)
    return True


def report_touched(replay: "Replay", entry: Entry) -> bool:
    """The backup's report is older than that; one that was built since is not in it."""
    if (report := replay.change.session.get(Report, (str(entry.detail["campaign"]), entry.object, GROWTH))) is not None:
        report.touched_at = entry.time
    return True


def rows_withdrawn(replay: "Replay", entry: Entry) -> bool:
    told: Any = entry.detail
    steps = replay.removed.setdefault(entry.object, [])
    if not steps or steps[-1].was != told["was"]:  # else it is another piece of the same
        steps.append(Removed(told["was"], told["now"], set()))
    steps[-1].rows |= set(rows_of(told["rows"]))
    return True


def remove_again(home: "Home", change: Change, removed: dict[str, list[Removed]], remove_rows: RemoveRows) -> int:
    """What went out of the parts since the backup is out of these; answers how many rows. Unsound (`replay-contradicted`) when the log does
    not lead from what the backup holds."""
    count = 0
    for drop, steps in removed.items():
        if (part := change.session.get(Part, drop)) is None:
            continue  # linked after the backup: its results are lost, and delivered again
        digest = part.sha256
        for step in steps:
            if step.was != digest:
                raise Unsound(
                    "replay-contradicted",
                    f"The log tells of other results of {drop} than the backup holds.",
                    "Is it the log of this gateway?",
                )
            digest = step.now
        part.rows, part.sha256 = remove_rows(home.results / part.file, [step.rows for step in steps])
        change.session.add(part)
        count += sum(len(step.rows) for step in steps)
    return count
