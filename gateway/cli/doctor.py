"""`sluis doctor`: looks at everything that may go wrong, says what to do, and ends with 3 when something is."""

import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta

import typer
from cryptography import x509
from sqlmodel import col, select

from gateway.cli.checkpoint import configured_places
from gateway.cli.context import home_of
from gateway.cli.objection_status import faults
from gateway.cli.output import show
from gateway.cli.scanner import scanner_faults
from gateway.drop.lifecycle import Raw
from gateway.store.auditing import sequence
from gateway.store.checkpoints import HandedOut
from gateway.store.clock import wrong_by
from gateway.store.drops import holding, live_register
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import EffectRow, RegisterVersion
from gateway.store.recipient_keys import handed_out
from gateway.store.rules import additions_of, handed_to_vendors, rules_of
from gateway.store.signing_keys import signing_keys
from gateway.store.vendors import all_vendors
from gateway.worker.erasure import failures_of_erasure
from keys.openpgp import sweep, what_is_missing
from policies.errors import SluisError, Unsound
from policies.retention import epoch_end

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: below this the disk is nearly full [bytes]
LEAST_FREE_BYTES = 2 * 2**30
#: a place that got no checkpoint for so long is told of
CHECKPOINTS_EVERY = timedelta(hours=48)
#: a certificate that ends sooner wants renewing
RENEW = timedelta(days=30)


@dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    says: str
    do: str = ""


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Check the home, the clock, permissions, ages, disk, database, certificates; say what to do."""
    home = home_of(ctx)  # permissions, configuration and tables: opening checks them
    findings = [Finding("home", True, f"{home.path}: configuration, permissions and tables are sound")]
    checks: tuple[Callable[[Home], Iterator[Finding]], ...] = (
        _clock,
        _disk,
        _deadlines,
        _effects,
        _epochs,
        _recipient,
        _openpgp,
        _signing_keys,
        _registers,
        _rules,
        _objections,
        _scanner,
        _certificate,
        _log,
        _checkpoints,
        _invariants,
    )
    for check in checks:
        findings += check(home)
    show(ctx, [{"check": found.what, "ok": found.ok, "says": found.says, "do": found.do} for found in findings])
    if not all(found.ok for found in findings):
        raise Unsound("doctor-found", "Something needs attention.", "See what stands under `do`.")


def _clock(home: Home) -> Iterator[Finding]:
    wrong = wrong_by(home.clock)
    if not wrong:
        yield Finding("clock", True, "gateway time is the wall clock's")
    else:
        yield Finding(
            "clock",
            False,
            f"gateway time is off the wall clock by {round(wrong.total_seconds()):,} s: that was set back, or had been set forward",
            "Correct the clock (NTP). If it is right now: `sluis retention clock --follow --reason TEXT`, once nothing is held.",
        )


def _disk(home: Home) -> Iterator[Finding]:
    free = shutil.disk_usage(home.path).free
    ok = free > LEAST_FREE_BYTES
    yield Finding("disk", ok, f"{free / 2**30:.1f} GiB free", "" if ok else "Make room: uploads are refused before erasure is.")


def _deadlines(home: Home) -> Iterator[Finding]:
    now = home.clock()
    with home.ledger.view() as session:
        held = holding(session)
        stuck = [drop.id for drop in held if drop.raw == Raw.MAYBE_ERASED]
        codes = ", ".join(sorted(failures_of_erasure(session, stuck)))
    overdue = sum(drop.erase_before <= now for drop in held)
    overdue_epochs = sum(epoch_end(day, home.config.retention.window_days) <= now for day in home.epochs.days())
    says = f"{len(held)} drops still hold data" + (f", the first ends {held[0].erase_before:%Y-%m-%d %H:%M} UTC" if held else "")
    late = overdue or overdue_epochs
    yield Finding(
        "retention",
        not late,
        says if not late else f"{overdue} drops and {overdue_epochs} epoch keys are overdue",
        "" if not late else "Run `sluis retention run`: it says what fails.",
    )
    yield Finding(
        "erasure",
        not stuck,
        "none is half done" if not stuck else f"{len(stuck)} erasures are half done" + (f", and fail: {codes}" if codes else ""),
        "" if not stuck else "Run `sluis retention run`: it completes them, or says what fails.",
    )


def _effects(home: Home) -> Iterator[Finding]:
    late = home.clock() - timedelta(minutes=15)
    with home.ledger.view() as session:
        rows = session.exec(select(EffectRow).where(col(EffectRow.done_at).is_(None), EffectRow.due_at < late)).all()
        failing = session.exec(select(EffectRow).where(col(EffectRow.done_at).is_(None), EffectRow.attempts > 2)).all()
    yield Finding(
        "worker",
        not rows,
        "nothing waits too long" if not rows else f"{len(rows)} steps wait for over 15 minutes",
        "" if not rows else "Start `sluis serve worker`.",
    )
    codes = ", ".join(sorted({row.last_error for row in failing}))
    yield Finding(
        "failures",
        not failing,
        "none" if not failing else f"{len(failing)} steps fail again and again: {codes}",
        "" if not failing else "See the worker's log.",
    )


def _epochs(home: Home) -> Iterator[Finding]:
    days = home.epochs.days()
    today = home.clock().astimezone(UTC).date()
    ok = today in days and today + timedelta(days=1) in days
    yield Finding("epoch keys", ok, f"ready until {max(days)}" if days else "none", "" if ok else "Start the worker: it makes them ahead.")


def _recipient(home: Home) -> Iterator[Finding]:
    found = handed_out(home)
    says = f"vendors encrypt to {found.name}, of {found.campaign or 'no campaign yet'}" if found else "vendors find none that can be opened"
    yield Finding("recipient key", found is not None, says, "" if found else "Start the worker: it makes one and hands it out.")


def _openpgp(home: Home) -> Iterator[Finding]:
    if swept := sweep():
        yield Finding("homes of gpg", True, f"{swept} with a private key were left in memory by killed processes, and are ended")
    if home.config.recipients.openpgp:
        missing = what_is_missing()
        says = missing or "gpg is here, and a place in memory for it"
        yield Finding("openpgp", not missing, says, "Install gnupg, or set `openpgp = false` under [recipients]." if missing else "")


def _signing_keys(home: Home) -> Iterator[Finding]:
    with home.ledger.view() as session:
        keys = [key for vendor in all_vendors(session) for key in signing_keys(session, vendor.name)]
    now = home.clock()
    ends = {key.vendor: key.valid_until for key in keys if key.valid_until is not None and key.valid_until - now < RENEW}
    lost = sorted({key.vendor for key in keys if not key.public_key})
    if keys and not home.config.recipients.openpgp:
        says, do = (
            "vendors have signing keys, and OpenPGP is off: all that they deliver is refused",
            "Set `openpgp = true` under [recipients].",
        )
    elif lost:
        says, do = f"lost before a restore: of {', '.join(lost)}", "Add them again: `sluis vendor signing-key add NAME FILE`."
    elif ends:
        says = ", ".join(f"{vendor}'s ends on {end:%Y-%m-%d}" for vendor, end in sorted(ends.items()))
        do = "Ask the vendor for the same key with a later end, or a new one, and add it."
    else:
        says, do = f"{len(keys)} in force", ""
    if keys:
        yield Finding("signing keys", not do, says, do)


def _registers(home: Home) -> Iterator[Finding]:
    with home.ledger.view() as session:
        for kind in ("schools", "persons"):
            found = live_register(session, kind)
            says = f"{found.rows:,} rows, imported {found.imported_at:%Y-%m-%d}" if found else "none yet"
            ever = session.exec(select(RegisterVersion.id).where(RegisterVersion.kind == kind).limit(1)).first() is not None
            if lost := ever and not found:  # else a newer one would have taken its place
                says = "lost before a restore: its key is in no backup"
            yield Finding(f"register of {kind}", not lost, says, "" if found else f"Run `sluis register {kind} FILE`.")


def _rules(home: Home) -> Iterator[Finding]:
    try:
        rules_of(home)
    except SluisError as error:
        yield Finding(
            "rules", False, error.message, "`sluis policy check FILE` tries another one. Until it is right, the worker can't start."
        )
        return
    additions = additions_of(home)
    taken_up = additions == handed_to_vendors(home)
    says = "those that come with Sluis" if not additions else "with the additions of policies/nco_lvs.toml"
    yield Finding("rules", taken_up, says if taken_up else f"{says}; not yet taken up", "" if taken_up else "Is the worker running?")


def _objections(home: Home) -> Iterator[Finding]:
    found = list(faults(home))
    says, do = "; ".join(said for said, _ in found), " ".join(todo for _, todo in found)
    yield Finding("objections", not found, says or "all are carried out", do)


def _scanner(home: Home) -> Iterator[Finding]:
    settings = home.config.scan
    if not settings.clamd_socket:
        yield Finding("malware scan", True, "off: [scan] clamd_socket is empty")
        return
    faults = list(scanner_faults(settings))
    says = "; ".join(faults) or "clamd answers, looks at all it is told, and keeps it in memory only"
    yield Finding("malware scan", not faults, says, "See docs/operator/scanning.md." if faults else "")


def _certificate(home: Home) -> Iterator[Finding]:
    pem = (home.public / "portal.pem").read_text(encoding="ascii")
    found = x509.load_der_x509_certificate(
        ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :].split("-----END")[0] + "-----END CERTIFICATE-----\n")
    )
    left = found.not_valid_after_utc - home.clock()
    ok = left > RENEW
    own = " (made by init: browsers will warn)" if found.issuer == found.subject else ""
    yield Finding(
        "TLS certificate",
        ok,
        f"valid until {found.not_valid_after_utc:%Y-%m-%d}{own}",
        "" if ok else "Renew it: public/portal.pem and its key.",
    )


def _log(home: Home) -> Iterator[Finding]:
    sequence(home)
    verdict = home.audit_log().verify(home.audit_verifier())
    yield Finding(
        "audit log",
        verdict.sound,
        f"{verdict.size:,} entries. {verdict.what}",
        "" if verdict.sound else "Keep the folder as it is; `sluis audit verify` names the place.",
    )


#: invariants that have a line of their own
TOLD_ELSEWHERE = ("overdue", "log")


def _invariants(home: Home) -> Iterator[Finding]:
    found = check_home(home)
    if found:  # what the roles are about just now looks another way a moment later
        still = set(check_home(home))
        found = [broken for broken in found if broken in still and broken.invariant not in TOLD_ELSEWHERE]
    yield Finding(
        "consistency",
        not found,
        "ledger, files, keys and log agree" if not found else f"{len(found)} contradictions: {'; '.join(one.what for one in found[:5])}",
        ""
        if not found
        else "Start the intake and the worker: they repair what a crash left. What stays after that was changed by somebody.",
    )


def _checkpoints(home: Home) -> Iterator[Finding]:
    """Whether others know the log's past: without it nobody could tell that an operator wrote it anew."""
    try:
        places = [str(place) for place in configured_places(home)]
        handed = HandedOut.read(home).places
    except SluisError as error:
        yield Finding("checkpoints", False, error.message, error.hint)
        return
    late = [place for place in places if place not in handed or handed[place] < home.clock() - CHECKPOINTS_EVERY]
    if not places:
        says, do = "nobody keeps the log's checkpoints: an operator could rewrite its past", "Set [audit] checkpoint_to."
    elif not late:
        says, do = f"{len(places)} places have the last one of {min(handed[place] for place in places):%Y-%m-%d %H:%M} UTC", ""
    else:
        says = f"{len(late)} of {len(places)} places got none for {CHECKPOINTS_EVERY // timedelta(hours=1)} hours: {', '.join(late)}"
        do = "Run `sluis audit checkpoint --scheduled`; is its timer on?"
    yield Finding("checkpoints", not late, says, do)
