"""What a restore makes of each entry: the table knows every action, shut doors stay shut, and the rest is said."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import gateway
from audit.entry import Entry
from gateway.drop.lifecycle import RawEvent, State
from gateway.store.credentials import issue
from gateway.store.home import Home
from gateway.store.host_keys import announce_next, host_key_names
from gateway.store.ledger import Change
from gateway.store.models import (
    Board,
    Bundle,
    Campaign,
    Credential,
    Enrolment,
    RecipientKey,
    School,
    Vendor,
    VendorCa,
    VendorKey,
    VendorSigningKey,
)
from gateway.store.recipient_keys import prepare_recipients
from gateway.store.replay import REPLAY, Replay, rule_of
from gateway.store.signing_keys import add_signing_key, remove_signing_key, signing_keys
from gateway.store.ssh_keys import read_public_keys
from gateway.store.takeover import ENDS, dead_keys
from gateway.store.vendors import Terms, add_ca, add_vendor
from keys.signing_keys import SigningKey
from policies.errors import Unsound
from tests.support.cli import public_key
from tests.support.replays import NOW, all_of, played

PACKAGE = Path(gateway.__file__).parent

# ---------------------------------------------------------------- every action is known


def logged() -> Iterator[tuple[str, str]]:
    """Place and action of every entry that the product makes, a variable part as `*`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
            place = {"audit": 0, "entry": 0, "entry_now": 2}.get(function)
            if place is None or len(call.args) < place + 2:  # an object follows
                continue
            yield f"{path.relative_to(PACKAGE)}:{call.lineno}", action_of(call.args[place], names)


def action_of(node: ast.expr, names: dict[str, Any]) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if isinstance(names.get(name), str):
            return str(names[name])
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "*" for part in parts)
    return "?"


#: parts of a name that are made up as the product runs, where they may come from
MADE_UP = {"drop.*": [*(state.value for state in State), *(event.value.replace(" ", "-") for event in RawEvent)], "sftp.*": ["open"]}


def test_the_table_knows_every_action_that_the_product_logs() -> None:
    found = dict(logged())
    passed_on = {place for place, action in found.items() if action == "?"}
    assert {place.split(":")[0] for place in passed_on} <= {"store/ledger.py"}, "an action that nobody can read from the code"
    actions = {action for place, action in found.items() if place not in passed_on}
    assert {action for action in actions if "*" in action} == set(MADE_UP)
    all_actions = {action for action in actions if "*" not in action}
    all_actions |= {pattern.replace("*", part) for pattern, parts in MADE_UP.items() for part in parts}
    assert len(all_actions) > 50
    assert {action for action in all_actions if not action.startswith("sftp.")} - REPLAY.keys() == set()
    for action in all_actions:
        rule_of(action)
    assert REPLAY.keys() - all_actions - {"sftp."} == set(), "an action that nothing logs"
    assert ENDS.keys() <= REPLAY.keys()


def test_what_nobody_knows_is_refused() -> None:
    with pytest.raises(Unsound) as unsound:
        rule_of("later.invented")
    assert unsound.value.code == "replay-unknown"


def test_what_is_to_be_done_again_names_a_command_that_exists() -> None:
    from tests.unit.test_house_docs import commands_in, missing

    for rule in REPLAY.values():
        for text in re.split(r", (?=then|or) ?(?:then |or )?", rule.again):
            for words in commands_in(f"`{text}`"):
                assert missing(words[:3]) == "", text


# ---------------------------------------------------------------- what each does


@pytest.fixture
def dumped(home: Home, tmp_path: Path) -> Home:
    """As the ledger stood at a backup: a vendor with keys and a CA, a board with a credential, a campaign, an enrolment, a bundle."""
    with home.ledger.change("test") as change:
        change.session.add(Board(number="10001", name="Stichting"))
        change.session.add(School(code="01AA00", name="School"))
        add_vendor(change, "cito", [key(tmp_path, "one"), key(tmp_path, "two")])
        add_ca(change, "cito", key(tmp_path, "ca"), (), Terms())
        day = date(2026, 1, 1)
        change.session.add(
            Campaign(
                name="m",
                enrol_until=day,
                objections_from=day,
                objections_until=day,
                deliver_until=date(2026, 6, 1),
                publish_from=NOW,
                created_at=NOW,
            )
        )
        change.session.flush()
        change.session.add(Enrolment(campaign="m", board="10001", vendor="cito", contract_on=day, form_on=day))
        issue(change, "10001", "hash", date(2027, 1, 1))
        change.session.add(bundle("10001-m-1"))
    return home


def key(folder: Path, name: str) -> Any:
    return read_public_keys(public_key(folder, name).read_text())[0]


def bundle(name: str) -> Bundle:
    return Bundle(id=name, campaign="m", board="10001", version=1, file=name, bytes=1, sha256="0", visible_from=NOW, created_at=NOW)


def test_a_removed_vendor_has_no_way_in(dumped: Home) -> None:
    assert played(dumped, ("vendor.removed", "vendor:cito", {})).again == {}
    assert [vendor.removed_at for vendor in all_of(dumped.ledger, Vendor)] == [NOW]
    assert all(key.revoked_at == NOW for table in (VendorKey, VendorCa) for key in all_of(dumped.ledger, table))


def test_withdrawn_certificates_of_which_the_log_tells_the_number_only_close_the_account(dumped: Home) -> None:
    replay = played(dumped, ("vendor.revoked", "vendor:cito", {"entries": 2, "new": 2}))
    assert all(key.revoked_at == NOW for table in (VendorKey, VendorCa) for key in all_of(dumped.ledger, table))
    (((action, _), objects),) = replay.again.items()
    assert (action, objects) == ("vendor.revoked", {"vendor:cito"})


def test_one_key_and_one_ca_are_revoked_and_no_other(dumped: Home) -> None:
    first, second = all_of(dumped.ledger, VendorKey)
    (ca,) = all_of(dumped.ledger, VendorCa)
    replay = played(
        dumped,
        ("vendor.key-revoked", "vendor:cito", {"key": second.fingerprint}),
        ("vendor.ca-removed", "vendor:cito", {"ca": ca.fingerprint}),
        ("vendor.key-extended", "vendor:cito", {"key": first.fingerprint, "valid_until": "2026-04-01T00:00:00+00:00"}),
    )
    first, second = all_of(dumped.ledger, VendorKey)
    assert (first.revoked_at, second.revoked_at) == (None, NOW) and first.valid_until == datetime(2026, 4, 1, tzinfo=UTC)
    assert all_of(dumped.ledger, VendorCa)[0].revoked_at == NOW + timedelta(hours=1)
    assert replay.again == {}
    played(dumped, ("vendor.key-extended", "vendor:cito", {"key": first.fingerprint, "valid_until": ""}))
    assert all_of(dumped.ledger, VendorKey)[0].valid_until is None


def test_a_vendor_that_came_after_the_backup_is_known_and_shut(dumped: Home) -> None:
    replay = played(dumped, ("vendor.added", "vendor:nieuw", {"keys": ["SHA256:x"], "sources": []}))
    assert {vendor.name: vendor.removed_at for vendor in all_of(dumped.ledger, Vendor)} == {"cito": None, "nieuw": NOW}
    assert [action for action, _ in replay.again] == ["vendor.added"]


def signing_key_states(home: Home) -> list[tuple[str, str, datetime | None]]:
    return [(key.fingerprint, key.public_key, key.revoked_at) for key in all_of(home.ledger, VendorSigningKey)]


def test_what_had_to_be_signed_still_has_to_be_until_the_key_is_added_again(dumped: Home) -> None:
    added = ("vendor.signing-key-added", "vendor:cito", {"key": "F1"})
    replay = played(dumped, added)
    assert signing_key_states(dumped) == [("F1", "", None)]
    assert [(action, what) for action, what in replay.again] == [(added[0], "sluis vendor signing-key add NAME FILE")]
    with dumped.ledger.view() as session:
        assert [key.public_key for key in signing_keys(session, "cito", NOW + timedelta(hours=2))] == [""]
    with dumped.ledger.change("test") as change:
        add_signing_key(change, "cito", SigningKey("F1", "armoured", None))
    with dumped.ledger.view() as session:
        assert [key.public_key for key in signing_keys(session, "cito", NOW + timedelta(hours=2))] == ["armoured"], "also what came before"
    assert played(dumped, added).again, "it may have another form than the backup's"
    assert [state[1] for state in signing_key_states(dumped)] == ["", "armoured"]


def test_a_signing_key_ends_alone_or_with_its_vendor_and_not_with_certificates(dumped: Home) -> None:
    with dumped.ledger.change("test") as change:
        for name in ("F1", "F2"):
            add_signing_key(change, "cito", SigningKey(name, "armoured", None))
    assert played(dumped, ("vendor.signing-key-removed", "vendor:cito", {"key": "F1"})).again == {}
    played(dumped, ("vendor.revoked", "vendor:cito", {"entries": 2, "new": 2}))
    assert signing_key_states(dumped) == [("F1", "armoured", NOW), ("F2", "armoured", None)]
    played(dumped, ("vendor.removed", "vendor:cito", {}))
    assert signing_key_states(dumped)[1] == ("F2", "armoured", NOW)


def test_a_lost_signing_key_that_is_removed_judges_nothing(dumped: Home) -> None:
    played(dumped, ("vendor.signing-key-added", "vendor:cito", {"key": "F1"}))
    with dumped.ledger.change("test") as change:
        assert remove_signing_key(change, "cito", "F1") == 0
    with dumped.ledger.view() as session:
        assert signing_keys(session, "cito", NOW + timedelta(hours=2)) == []


@pytest.mark.parametrize("action", ["credential.revoked", "credential.issued"])
def test_a_boards_old_credential_ends_with_either(dumped: Home, action: str) -> None:
    replay = played(dumped, (action, "10001", {}))
    assert [credential.revoked_at for credential in all_of(dumped.ledger, Credential)] == [NOW]
    assert bool(replay.again) == (action == "credential.issued")


def test_a_bundle_stays_withdrawn_and_its_name_is_used_up(dumped: Home) -> None:
    told = {"campaign": "m", "bundle": "10001-m-2", "version": 2, "files": 1, "bytes": 5, "sha256": "1", "reason": "x"}
    played(
        dumped,
        ("bundle.withdrawn", "10001", {"campaign": "m", "bundle": "10001-m-1", "version": 1, "reason": "x"}),
        ("bundle.published", "10001", {**told, "visible_from": NOW.isoformat()}),
    )
    assert {row.id: (row.version, row.withdrawn_at) for row in all_of(dumped.ledger, Bundle)} == {
        "10001-m-1": (1, NOW), "10001-m-2": (2, None)
    }  # fmt: skip


def test_a_consent_through_another_vendor_counts_at_once(dumped: Home) -> None:
    told = {"campaign": "m", "vendor": "esis", "contract_on": "2026-01-01", "form_on": None}
    assert played(dumped, ("enrolment.recorded", "10001", told)).again == {}
    (row,) = all_of(dumped.ledger, Enrolment)
    assert (row.vendor, row.contract_on, row.form_on) == ("esis", date(2026, 1, 1), None)
    replay = played(dumped, ("enrolment.recorded", "10001", {**told, "campaign": "later"}))
    assert [(action, objects) for (action, _), objects in replay.again.items()] == [("enrolment.recorded", {"later"})]


def test_a_host_key_that_was_retired_goes_when_the_next_is_there(dumped: Home) -> None:
    assert [action for action, _ in played(dumped, ("key.retired", "ssh/host", {})).again] == ["key.retired"]
    assert host_key_names(dumped) == ["host"]
    following = announce_next(dumped)
    assert played(dumped, ("key.retired", "ssh/host", {})).again == {}
    assert host_key_names(dumped) == [following]


def test_a_key_for_vendors_that_was_replaced_after_the_backup_is_taken_no_longer_than_then(dumped: Home) -> None:
    (first,) = all_of(dumped.ledger, RecipientKey)
    until = NOW + timedelta(days=14)
    second = {"campaign": "m", "replaced": first.name, "taken_until": until.isoformat(), "reason": "x"}
    third = {"campaign": "later", "replaced": "second", "taken_until": (NOW + timedelta(hours=1)).isoformat(), "reason": "it leaked"}
    replay = played(dumped, ("key.rotated", "recipients/second", second), ("key.rotated", "recipients/third", third))
    assert replay.again == {}
    known = {key.name: (key.campaign, key.retired_at, key.taken_until) for key in all_of(dumped.ledger, RecipientKey)}
    assert known == {
        first.name: (None, NOW, until),
        "second": ("m", NOW + timedelta(hours=1), NOW + timedelta(hours=1)),
        "third": (None, None, None),
    }
    played(dumped, ("key.destroyed", f"recipients/{first.name}", {"reason": "x"}), ("key.destroyed", "drops/x", {"reason": "x"}))
    assert {key.name: key.destroyed_at for key in all_of(dumped.ledger, RecipientKey)} == {first.name: NOW, "second": None, "third": None}
    current = prepare_recipients(dumped)
    lost = {key.name: key.destroyed_at is not None for key in all_of(dumped.ledger, RecipientKey) if key.retired_at is not None}
    assert current not in known and lost == {first.name: True, "second": False, "third": True}


def test_a_drop_that_nobody_received_is_a_contradiction(dumped: Home) -> None:
    with pytest.raises(Unsound) as unsound:
        played(dumped, ("drop.linked", "d20260220-aaaaaaaaaaaaaaaa", {"event": "persons found"}))
    assert unsound.value.code == "replay-contradicted"


def test_ends_of_keys_are_read_from_beginnings_too() -> None:
    def entry(action: str, object: str, **detail: Any) -> Entry:
        return Entry("x", NOW, "a", "o", action, object, "ok", detail)

    assert dead_keys(
        [
            entry("drop.erasure-begun", "d1"),
            entry("drop.erasure-verified", "d2"),
            entry("drop.key-destruction-begun", "d4"),
            entry("epoch.destroyed", "2026-02-20"),
            entry("key.destruction-begun", "recipients/a"),
            entry("key.destroyed", "objections/m"),
            entry("bundle.withdrawn", "10001", bundle="b1"),
            entry("bundle.key-destroyed", "10001", bundle="b2"),
            entry("drop.linked", "d3"),
        ]
    ) == {
        ("drops", "d1"),
        ("drops", "d2"),
        ("drops", "d4"),
        ("epochs", "2026-02-20"),
        ("recipients", "a"),
        ("objections", "m"),
        ("bundles", "b1"),
        ("bundles", "b2"),
    }


def test_the_change_is_the_restores_own(dumped: Home) -> None:
    """What the log tells already is not told again."""
    before = dumped.audit_log().size
    with dumped.ledger.change("restore") as change:
        assert isinstance(change, Change)
        Replay(dumped, change).play([Entry("x", NOW, "a", "local", "vendor.removed", "vendor:cito", "ok", {})])
        assert change._entries == 0
    assert dumped.audit_log().size == before


def test_other_days_of_a_campaign_hold_again_and_of_an_unknown_one_they_are_asked_for(dumped: Home) -> None:
    """A round that was postponed after the backup takes deliveries until its new last day."""
    changed = {"deliver_until": "2026-07-01", "publish_from": "2026-09-01T07:00:00+00:00"}
    assert played(dumped, ("campaign.changed", "m", changed)).again == {}
    (campaign,) = all_of(dumped.ledger, Campaign)
    assert (campaign.deliver_until, campaign.publish_from) == (date(2026, 7, 1), datetime(2026, 9, 1, 7, tzinfo=UTC))
    assert campaign.objections_until == date(2026, 1, 1)
    assert played(dumped, ("campaign.changed", "x", changed)).again == {("campaign.changed", "sluis campaign change"): {"x"}}
