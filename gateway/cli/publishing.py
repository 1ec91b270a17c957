"""Bundles per board: made, replaced, taken back.

Order of a publication: key, then encrypted file, both durable, for every board; then one transaction that makes them all the boards'
own; then the keys of what they replace are destroyed. Whatever a crash leaves behind before that transaction is nobody's: the next
run makes it anew under the same names.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from gateway.publish.bundle import BundleHead, ReportFile, contents_of, same_reports, seal_bundle
from gateway.store import publication
from gateway.store.alone import alone_in
from gateway.store.campaigns import campaign_of
from gateway.store.durable import move_durably
from gateway.store.home import Home
from gateway.store.models import Bundle
from gateway.store.touched import check_publishable, check_settled
from gateway.store.withdrawn import KIND, forget_bundles, unforgotten_bundles
from keys.secret import Secret
from policies.calendar import day_of
from policies.errors import NotFound, Refused, WrongUsage

ACTOR = "administrator"
KEY_BYTES = 32


@dataclass(frozen=True)
class Published:
    """What a publication did, counted in boards unless said otherwise."""

    published: int
    replaced: int
    unchanged: int
    withdrawn: int  # had a bundle and are entitled to no report any more
    reports: int  # in what was published now
    left_out: list[dict[str, str]]  # reports that go to nobody, with the reason


def publish_campaign(home: Home, name: str, reason: str = "", step: Callable[[int, int], None] = lambda _done, _of: None) -> Published:
    """Bundles for every board that is entitled to a report of campaign `name`; `step` hears how far it is.

    A board whose reports are still the same keeps its bundle. Also completes what an interrupted publication or withdrawal left of
    bundles that were taken back. Raises Refused when there is nothing to publish, another publication is going on, or reports hold results
    that were withdrawn (`reports-touched`, `objections-pending`); WrongUsage when boards would get a new version and no `reason` is given;
    Unsound for a changed report.
    """
    with _alone(home):
        with home.ledger.view() as session:
            campaign = campaign_of(session, name)
            entitled = publication.entitlement(session, campaign)
            live = publication.live_bundles(session, name)
            versions = publication.last_versions(session, name)
            reports = [item.report for items in entitled.boards.values() for item in items]
            check_settled(session)
            check_publishable(session, name, reports)
        if not entitled.boards and not live:
            raise Refused("nothing-to-publish", "No board is entitled to a report of this campaign.", "Run `sluis report build` first.")
        files = {board: [_file(home, item) for item in items] for board, items in entitled.boards.items()}
        unchanged = {board for board in files if board in live and _is_sound(home, live[board], files[board])}
        due = sorted(files.keys() - unchanged)
        gone = [live[board] for board in live.keys() - unchanged]
        if not reason and any(board in versions for board in due):
            raise WrongUsage("reason-missing", "Boards that have this period already would get a new version.", "Say why with --reason.")
        now = home.clock()  # one moment for all boards
        made = []
        for number, board in enumerate(due):
            step(number, len(due))
            version = versions.get(board, 0) + 1
            visible_from = max(campaign.publish_from, now) if version > 1 else campaign.publish_from
            head = BundleHead(
                campaign=name,
                board=board,
                board_name=entitled.names[board] or f"Schoolbestuur {board}",
                version=version,
                reason=reason if version > 1 else "",
                published_on=day_of(visible_from),
                authority=home.config.authority.name,
                contact=home.config.authority.contact,
            )
            made.append(_make(home, head, files[board], visible_from, now))
        with home.ledger.change(ACTOR) as change:
            check_settled(change.session)  # while the bundles were made a parent may have objected,
            check_publishable(change.session, name, reports)  # and what was touched meanwhile withdraws none of them
            for bundle in gone:
                if change.session.get_one(Bundle, bundle.id).withdrawn_at is None:
                    publication.withdraw(change, bundle.id, reason or "no report of it is the board's any more")
            for bundle in made:
                publication.release(change, bundle)
        forget_bundles(home, ACTOR, name)
        step(len(due), len(due))
    return Published(
        published=sum(bundle.version == 1 for bundle in made),
        replaced=sum(bundle.version > 1 for bundle in made),
        unchanged=len(unchanged),
        withdrawn=sum(bundle.board not in files for bundle in gone),
        reports=sum(len(bundle.contents) for bundle in made),
        left_out=entitled.left_out,
    )


def withdraw_campaign(home: Home, name: str, board: str | None = None, reason: str = "") -> int:
    """Take back the bundles of a campaign, or of one board; how many. Also completes what an interrupted withdrawal left undone."""
    with _alone(home):
        with home.ledger.view() as session:
            campaign_of(session, name)
            live = publication.live_bundles(session, name)
            begun = unforgotten_bundles(session, name)
        chosen = [bundle for bundle in live.values() if board in (None, bundle.board)]
        if not chosen and not begun:
            raise NotFound("no-such-bundle", "There is no published bundle to take back.", "See what is published with `sluis audit show`.")
        with home.ledger.change(ACTOR) as change:
            for bundle in chosen:
                publication.withdraw(change, bundle.id, reason)
        forget_bundles(home, ACTOR, name)
    return len(chosen)


def _file(home: Home, item: publication.Entitled) -> ReportFile:
    report = item.report
    read, register = partial(_read, home.reports / report.file), report.objection_register
    return ReportFile(report.kind, report.school, item.school_name, report.bytes, report.sha256, read, register)


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _is_sound(home: Home, bundle: Bundle, files: list[ReportFile]) -> bool:
    """Whether the board's bundle holds exactly these reports and can still be opened."""
    return (
        same_reports(bundle.contents, contents_of(files)) and home.mortal.exists(KIND, bundle.id) and (home.bundles / bundle.file).is_file()
    )


def _make(home: Home, head: BundleHead, files: list[ReportFile], visible_from: datetime, now: datetime) -> Bundle:
    """One bundle, its key and file durable; nobody's until the ledger says so."""
    bundle_id = f"{head.board}-{sha256(head.campaign.encode()).hexdigest()[:12]}-{head.version}"
    home.mortal.destroy(KIND, bundle_id)  # what a crash left: no row in the ledger knows it
    key = Secret(secrets.token_bytes(KEY_BYTES))
    home.mortal.create(KIND, bundle_id, key)
    target = home.bundles / bundle_id
    unfinished = target.with_name(f".{bundle_id}.tmp")
    with unfinished.open("wb") as file:
        facts = seal_bundle(head, files, key, bundle_id, file)
        file.flush()
        os.fsync(file.fileno())
    move_durably(unfinished, target)
    return Bundle(
        id=bundle_id,
        campaign=head.campaign,
        board=head.board,
        version=head.version,
        reason=head.reason,
        file=target.name,
        bytes=facts.size,
        sha256=facts.sha256,
        contents=facts.contents,
        visible_from=visible_from,
        created_at=now,
    )


def _alone(home: Home) -> AbstractContextManager[None]:
    """One publication at a time: two would make each other's keys."""
    return alone_in(home.bundles, Refused("publication-busy", "Another publication is going on in this home.", "Wait until it is done."))
