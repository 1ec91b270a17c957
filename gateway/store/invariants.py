"""What must be true of a home: of its ledger, its files, its keys and its log together. Only reads.

Some of it holds at every moment, also between the crash and the repair: a drop that is held can be opened, an erased one can't, and
whatever still has to be done is asked for. The rest holds once the roles have started, done what was due and gone quiet.

While the roles work, ledger and files are not read at the same instant: what is only on its way is gone when one looks again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import file_digest
from pathlib import Path

from sqlalchemy import select
from sqlmodel import Session, col

from audit import certificate, document
from audit.log import AuditLog
from gateway.drop.lifecycle import ON_ENTRY, Effect, Event, Raw, RawEvent, State, next_raw, next_state
from gateway.drop.receipt import STATES
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.home import Home
from gateway.store.ledger import entry_of
from gateway.store.losses import METHOD as LOST
from gateway.store.models import AuditRow, Drop, EffectRow, Part, RecipientKey, Replacement
from gateway.store.objecting_persons import pending_withdrawals
from gateway.store.objection_status import left_after_end
from gateway.store.parts import drop_of_file, is_passing
from gateway.store.recipient_keys import handed_out, recipient_keys
from keys.durable import UNFINISHED, is_unfinished
from keys.epochs import KIND as EPOCHS
from keys.keystore import Keystore
from keys.sealing import public_half
from policies.errors import Refused, SluisError
from policies.retention import epoch_end

#: rows of the audit table in memory at once
BATCH = 5_000

_BEGUN, _VERIFIED = (f"drop.{event.value.replace(' ', '-')}" for event in (RawEvent.ERASURE_BEGUN, RawEvent.ERASURE_VERIFIED))
_RAW_EVENTS = {_BEGUN: RawEvent.ERASURE_BEGUN, _VERIFIED: RawEvent.ERASURE_VERIFIED}
_UNFINISHED_FILE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|" + re.escape(UNFINISHED) + r".+")


@dataclass(frozen=True)
class Broken:
    """One contradiction: which invariant, and where; never with a value out of a drop."""

    invariant: str
    what: str


@dataclass(frozen=True)
class Told:
    """What the log tells of a drop, entry by entry."""

    action: str
    event: str
    numbered: bool
    method: str = ""  # of an erasure


@dataclass
class Seen:
    """The ledger at one moment."""

    home: Home
    now: datetime
    drops: dict[str, Drop] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    #: kinds that are asked for and not done, with when they are due, by drop
    undone: dict[str, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    lives: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    #: days whose key's end began, and those of which it was reached
    epochs_begun: set[str] = field(default_factory=set)
    epochs_ended: set[str] = field(default_factory=set)
    replaced: list[tuple[str, str]] = field(default_factory=list)  # which drop's results replace which one's
    pending: int = 0  # persons whose results are to be withdrawn
    unnumbered: int = 0
    numbered: int = 0
    log: list[Broken] = field(default_factory=list)

    def is_over(self, day: date) -> bool:
        """Whether the window of everything received on `day` (UTC) has ended."""
        return epoch_end(day, self.home.config.retention.window_days) <= self.now


Check = Callable[[Seen], Iterator[Broken]]


def check_home(home: Home, *, at_rest: bool = False) -> list[Broken]:
    """What contradicts itself in a home: empty when it is sound. `at_rest`: the roles have done what was due, and nobody works now."""
    seen = _look(home)
    return [broken for check in (*ALWAYS, *(AT_REST if at_rest else ())) for broken in check(seen)]


def _look(home: Home) -> Seen:
    seen = Seen(home, home.clock())
    with home.ledger.view() as session:
        seen.drops = {drop.id: drop for drop in session.execute(select(Drop)).scalars()}
        seen.parts = {part.drop: part for part in session.execute(select(Part)).scalars()}
        for drop, kind, due in session.execute(
            select(col(EffectRow.drop), col(EffectRow.kind), col(EffectRow.due_at)).where(col(EffectRow.done_at).is_(None))
        ):
            seen.undone[drop][kind] = min(due, seen.undone[drop].get(kind, due))
        seen.pending = len(pending_withdrawals(session))
        seen.replaced = [(later, earlier) for later, earlier in session.execute(select(col(Replacement.later), col(Replacement.earlier)))]
        _read_audit(seen, session)
    return seen


def _read_audit(seen: Seen, session: Session) -> None:
    """Every row of the audit table, numbered ones in the log's order, beside the log's own entries."""
    log = AuditLog(seen.home.path / "audit", seen.home.audit_origin)
    entries = log.entries()
    ordered = select(AuditRow).order_by(col(AuditRow.leaf).is_(None), col(AuditRow.leaf), col(AuditRow.id))
    try:
        for row in session.execute(ordered.execution_options(yield_per=BATCH)).scalars():
            _tell(seen, row)
            if row.leaf is None:
                seen.unnumbered += 1
            elif row.leaf != seen.numbered or next(entries, None) != entry_of(row).to_bytes():
                seen.log.append(Broken("log", f"entry {row.leaf} of the log is not row {row.id} of the ledger"))
                break
            else:
                seen.numbered += 1
            session.expunge(row)
        verdict = log.verify(seen.home.audit_verifier()) if log.size else None
    except SluisError as error:
        seen.log.append(Broken("log", error.message))
    else:
        if verdict is not None and not verdict.sound:
            seen.log.append(Broken("log", verdict.what))


def _tell(seen: Seen, row: AuditRow) -> None:
    if row.action == "epoch.destruction-begun":
        seen.epochs_begun.add(row.object)
    elif row.action == "epoch.destroyed":
        seen.epochs_ended.add(row.object)
    elif row.object in seen.drops:
        event, method = (str(row.detail.get(name, "")) for name in ("event", "method"))
        seen.lives[row.object].append(Told(row.action, event, row.leaf is not None, method))


# ---------------------------------------------------------------- at every moment


def _is_held(seen: Seen) -> Iterator[Broken]:
    """A drop that is held has its key, all its bytes, and its day's key while the window lasts; after that a key may go by itself."""
    for drop in seen.drops.values():
        if drop.raw != Raw.HELD or drop.erase_before <= seen.now:
            continue
        if not seen.home.mortal.exists(DROP_KEYS, drop.id):
            yield Broken("held-without-key", f"{drop.id} is held and has no key")
        if _size(seen.home.blob(drop.id)) != drop.bytes:
            yield Broken("held-without-bytes", f"{drop.id} is held and its bytes are not all there")
        if not seen.is_over(drop.epoch) and not seen.home.mortal.exists(EPOCHS, drop.epoch.isoformat()):
            yield Broken("held-without-epoch", f"{drop.id} is held and the key of {drop.epoch} is gone")


def _is_erased(seen: Seen) -> Iterator[Broken]:
    """An erased one has neither; and nothing of a drop goes before the log says that it is about to, or at its window's end the ledger."""
    for drop in seen.drops.values():
        key, blob = seen.home.mortal.exists(DROP_KEYS, drop.id), seen.home.blob(drop.id).exists()
        if drop.raw == Raw.ERASED and (key or blob):
            yield Broken("erased-still-there", f"{drop.id} is erased and its {'key' if key else 'file'} is there")
        due = drop.erase_before <= seen.now
        announced = any(told.action == _BEGUN and (told.numbered or due) for told in seen.lives[drop.id])
        if drop.raw != Raw.HELD and not (key and blob) and not announced:
            yield Broken("erased-unannounced", f"{drop.id}: its data went before the log said so")


def _lived(seen: Seen) -> Iterator[Broken]:
    """A drop stands where its entries, played through the life-cycle tables, lead."""
    for drop in seen.drops.values():
        try:
            led = _replay(seen.lives[drop.id])
        except (Refused, ValueError, KeyError):
            led = None
        if led != (drop.state, drop.raw):
            yield Broken("life", f"{drop.id} is {drop.state} and {drop.raw}, which is not where its entries lead")
        elif (drop.raw == Raw.ERASED) != (drop.erased_at is not None):
            yield Broken("life", f"{drop.id} is {drop.raw}, and the time of its erasure does not agree")


def _replay(life: list[Told]) -> tuple[State, Raw]:
    if [told.action for told in life].count("drop.received") != 1:
        raise ValueError("received once")
    state, raw = State.RECEIVED, Raw.HELD
    for told in life:
        if told.action in _RAW_EVENTS:
            raw = next_raw(state, raw, _RAW_EVENTS[told.action])
        elif told.event:
            state = next_state(state, Event(told.event))
            if told.action != f"drop.{state}":
                raise ValueError("another state than its event leads to")
    return state, raw


def _goes_on(seen: Seen) -> Iterator[Broken]:
    """No drop gets stuck: what its state asks for is asked for until it is done."""
    for drop in seen.drops.values():
        asked = set(ON_ENTRY.get(State(drop.state), ())) - {Effect.RECEIPT} if drop.state in set(State) else set()
        if drop.raw == Raw.ERASED:
            asked.discard(Effect.ERASE)
        for effect in sorted(asked - seen.undone[drop.id].keys()):
            yield Broken("stuck", f"{drop.id} is {drop.state} and {drop.raw}, and nothing asks to {effect} it")


def _is_in_time(seen: Seen) -> Iterator[Broken]:
    """Nothing outlives its deadline: neither a drop's bytes nor its day's key."""
    for drop in seen.drops.values():
        if drop.raw != Raw.ERASED and drop.erase_before <= seen.now:
            yield Broken("overdue", f"{drop.id} was to be erased before {drop.erase_before:%Y-%m-%d %H:%M} UTC")
    for name in seen.home.mortal.names(EPOCHS):
        if seen.is_over(date.fromisoformat(name)):
            yield Broken("epoch-overdue", f"the key of {name} was to be destroyed")


def _has_results(seen: Seen) -> Iterator[Broken]:
    """A linked drop has its results, as they were written; no other has any in the ledger."""
    linked = {drop.id for drop in seen.drops.values() if drop.state == State.LINKED}
    for drop_id in sorted(linked ^ seen.parts.keys()):
        yield Broken("results", f"{drop_id} is {'linked without results' if drop_id in linked else 'not linked and has results'}")
    for part in seen.parts.values():
        if _sha256(seen.home.results / part.file) != part.sha256:
            yield Broken("results", f"the results of {part.drop} are not those that were written")
    for later, earlier in seen.replaced:
        if not {later, earlier} <= seen.parts.keys():
            yield Broken("replaced", f"{later} is said to replace results of {earlier}, and one of them has none")


def _left_results(seen: Seen) -> Iterator[Broken]:
    """Results that are nobody's: of a drop that can't be linked any more, or of none."""
    own = {part.file for part in seen.parts.values()}
    may_come = {
        drop.id
        for drop in seen.drops.values()
        if drop.state in (State.RECEIVED, State.ACCEPTED) or drop.raw != Raw.ERASED or Effect.ERASE in seen.undone[drop.id]
    }
    for path in seen.home.results.rglob("*.parquet*"):
        name = str(path.relative_to(seen.home.results))
        drop_id = drop_of_file(path.name)
        passing = drop_id in seen.parts and is_passing(path.name, seen.parts[drop_id].file)
        if name not in own and drop_id not in may_come and not passing:
            yield Broken("results-left", f"results/{name} belongs to no drop")


def _bytes_without_a_key(seen: Seen) -> Iterator[Broken]:
    """Ciphertext that the ledger does not know is a delivery that the intake may still tell of: it has its key."""
    for blob in seen.home.drops.glob("*.blob"):
        if blob.stem not in seen.drops and not seen.home.mortal.exists(DROP_KEYS, blob.stem):
            yield Broken("bytes-unknown", f"drops/{blob.name} belongs to no drop and has no key")


def _stays_destroyed(seen: Seen) -> Iterator[Broken]:
    """A key that vendors encrypted to does not come back, nor who objected once that has ended."""
    for key in _recipient_keys(seen.home):
        if key.destroyed_at is not None and key.name in seen.home.recipients.names():
            yield Broken("recipient-still-there", f"the key {key.name} is destroyed and its file is there")
    yield from (Broken("objections-still-there", what) for what in left_after_end(seen.home))


def _agrees_with_log(seen: Seen) -> Iterator[Broken]:
    """Every numbered entry is in the log as it stands in the ledger, and the log is sound."""
    yield from seen.log


# ---------------------------------------------------------------- at rest


def _is_done(seen: Seen) -> Iterator[Broken]:
    """Nothing is due, no erasure is half done, every entry is in the log and every entry of the log in the ledger."""
    for drop_id, effects in seen.undone.items():
        for kind, due in effects.items():
            if due <= seen.now:
                yield Broken("effect-due", f"{drop_id} waits for its {kind}")
    for drop in seen.drops.values():
        if drop.raw == Raw.MAYBE_ERASED:
            yield Broken("half-erased", f"the erasure of {drop.id} began and was not verified")
    over = {day.isoformat() for day in seen.home.epochs.days() if seen.is_over(day)}
    for name in sorted(seen.epochs_begun - seen.epochs_ended | over):
        yield Broken("epoch-half-ended", f"the end of the key of {name} began and was not reached")
    if seen.unnumbered or seen.numbered != AuditLog(seen.home.path / "audit", seen.home.audit_origin).size:
        yield Broken("log-behind", "the ledger and the log do not have the same entries")


def _is_withdrawn(seen: Seen) -> Iterator[Broken]:
    """Nobody's results are still to go, and of each drop there are those that count and no others."""
    if seen.pending:
        yield Broken("withdrawal-pending", f"the results of {seen.pending} persons are still to be withdrawn")
    for path in seen.home.results.glob("*/*.parquet*"):
        part = seen.parts.get(drop_of_file(path.name))
        if part is not None and path != seen.home.results / part.file:
            yield Broken("results-replaced", f"results/{path.parent.name}/{path.name} was replaced and is still there")


def _strange_keys(seen: Seen) -> Iterator[Broken]:
    """No key but those of drops and of unfinished uploads; none half made or half destroyed; the halves of a day's pair belong together."""
    mortal, runtime = seen.home.mortal, Keystore(seen.home.run)
    for name in mortal.names(DROP_KEYS):
        if name not in seen.drops:
            yield Broken("key-unknown", f"there is a key of {name}, of which the ledger knows nothing")
    for path in (*mortal.folder.glob("*/.*"), *runtime.folder.glob("*/.*")):
        if not any(is_unfinished(path.name, name) for name in mortal.names(path.parent.name)):  # such a one ends with the key it was to be
            yield Broken("key-half-done", f"a key of kind {path.parent.name} is half made or half destroyed")
    notes = {path.stem for path in (seen.home.path / "incoming").rglob("*.json") if path.with_suffix(".blob").exists()}
    for path in runtime.folder.glob("*/*"):
        if path.is_file() and path.name not in notes and not path.name.startswith("."):
            yield Broken("upload-key-left", f"there is a key of upload {path.name}, which is over")
    for name in mortal.names(EPOCHS):
        if public_half(mortal.read(EPOCHS, name)) != _public(seen.home, name):
            yield Broken("epoch-halves", f"the halves of the key of {name} do not belong together")


def _can_be_delivered_to(seen: Seen) -> Iterator[Broken]:
    """Vendors find the current key, and ledger and store have the same keys of this kind."""
    if handed_out(seen.home) is None:
        yield Broken("recipient-not-handed-out", "vendors find no key that can be opened")
    living = {key.name for key in _recipient_keys(seen.home) if key.destroyed_at is None}
    for name in sorted(living ^ set(seen.home.recipients.names())):
        yield Broken("recipient-unknown", f"the ledger and the store of keys differ on the key {name}")


def _left_files(seen: Seen) -> Iterator[Broken]:
    """Nothing half written among receipts and results."""
    for folder in (seen.home.path / "receipts", seen.home.results):
        for path in folder.rglob(".*"):
            if _UNFINISHED_FILE.fullmatch(path.name):
                yield Broken("file-half-written", f"{path.relative_to(seen.home.path)} was never finished")


def _has_a_receipt(seen: Seen) -> Iterator[Broken]:
    """Every drop's receipt says where it stands, and a certificate that can be checked is there exactly when it was erased, not lost."""
    verifiers = [seen.home.audit_verifier()]
    for drop in seen.drops.values():
        folder = seen.home.receipts(drop.vendor)
        try:
            said = document.read((folder / f"{drop.id}.json").read_bytes())
            document.check(said, verifiers)
        except (OSError, SluisError):
            yield Broken("receipt", f"{drop.id} has no receipt that can be checked")
            continue
        state = STATES.get(drop.state, drop.state)
        if (said["state"], said["sha256"], bool(said["erased_at"])) != (state, drop.sha256, drop.raw == Raw.ERASED):
            yield Broken("receipt", f"the receipt of {drop.id} says another thing than the ledger")
        try:
            certified = (
                certificate.check((folder / str(said["certificate"])).read_bytes(), verifiers)["drop"] if said["certificate"] else None
            )
        except (OSError, SluisError):
            certified = None
        methods = [told.method for told in seen.lives[drop.id] if told.action == _BEGUN]
        if (certified == drop.id) != (drop.raw == Raw.ERASED and methods[-1:] != [LOST]):
            yield Broken("certificate", f"the certificate of {drop.id} is not there, or is one too many")


ALWAYS: tuple[Check, ...] = (
    _is_held, _is_erased, _lived, _goes_on, _is_in_time, _has_results, _left_results, _bytes_without_a_key, _stays_destroyed,
    _agrees_with_log,
)  # fmt: skip
AT_REST: tuple[Check, ...] = (_is_done, _is_withdrawn, _strange_keys, _can_be_delivered_to, _left_files, _has_a_receipt)


# ---------------------------------------------------------------- reading


def _recipient_keys(home: Home) -> list[RecipientKey]:
    with home.ledger.view() as session:
        return recipient_keys(session)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _public(home: Home, name: str) -> str | None:
    try:
        return home.epochs.public(date.fromisoformat(name))
    except SluisError:
        return None
