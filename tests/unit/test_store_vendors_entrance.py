"""Who may come in at a given moment: keys, certificates, networks, ends and revocations, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gateway.store.entrance import Admission, Login, admit, last_logins, note_logins
from gateway.store.ledger import Ledger
from gateway.store.revocations import of_serials
from gateway.store.ssh_keys import PublicKey, fingerprint, read_public_keys
from gateway.store.ssh_offers import Offer, read_offer
from gateway.store.vendors import (
    Terms,
    add_ca,
    add_keys,
    add_vendor,
    extend_key,
    remove_ca,
    remove_vendor,
    revoke_entries,
    revoke_key,
    vendor_keys,
)
from policies.errors import NotFound, Refused
from tests.support.ledgers import START, Clock, audit_rows
from tests.support.ssh_keys import SecurityKey, blob_of, certify, make_pair, public_line

HERE = "192.0.2.7"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_pair(folder, name) for name in ("ca", "other", "key", "second", "third")}


def key_of(pair: Path) -> PublicKey:
    return read_public_keys(public_line(pair))[0]


def offer_of(pair: Path) -> Offer:
    return read_offer(blob_of(public_line(pair)))


def certificate_of(ca: Path, pair: Path, **changes: Any) -> Offer:
    """A certificate for ever (the tests' clock is not ssh-keygen's), then with what a test wants changed."""
    offer = read_offer(blob_of(certify(ca, pair, validity="always:forever", serial=4)))
    assert offer.certificate is not None
    return replace(offer, certificate=replace(offer.certificate, **changes))


def asked(ledger: Ledger, offer: Offer | None, vendor: str = "cito", address: str = HERE) -> Admission:
    with ledger.view() as session:
        return admit(session, vendor, offer, address, ledger.clock())


def reason(ledger: Ledger, offer: Offer | None, vendor: str = "cito", address: str = HERE) -> str:
    return asked(ledger, offer, vendor, address).reason


def add(ledger: Ledger, pair: Path, vendor: str = "cito", **terms: Any) -> None:
    with ledger.change("administrator") as change:
        add_vendor(change, vendor, [key_of(pair)], terms=Terms(**terms))


def trust(ledger: Ledger, ca: Path, *principals: str, vendor: str = "cito", **terms: Any) -> None:
    with ledger.change("administrator") as change:
        add_vendor(change, vendor, [])
        add_ca(change, vendor, key_of(ca), principals, Terms(**terms))


# ---------------------------------------------------------------- keys


def test_a_key_opens_its_own_account_only(ledger: Ledger, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"])
    add(ledger, pairs["second"], "boom")
    assert asked(ledger, offer_of(pairs["key"])) == Admission(fingerprint=key_of(pairs["key"]).fingerprint)
    assert reason(ledger, offer_of(pairs["key"]), "boom") == "key-unknown"
    assert reason(ledger, offer_of(pairs["third"])) == "key-unknown"
    assert reason(ledger, offer_of(pairs["key"]), "nobody") == "account-unknown"
    assert reason(ledger, None) == "offer-unreadable"


def test_a_key_counts_from_and_until(ledger: Ledger, clock: Clock, pairs: dict[str, Path]) -> None:
    begins, ends = START + timedelta(days=1), START + timedelta(days=3)
    add(ledger, pairs["key"], valid_from=begins, valid_until=ends)
    offer = offer_of(pairs["key"])
    assert reason(ledger, offer) == "not-yet-valid"
    clock.now = begins
    assert asked(ledger, offer) == Admission(fingerprint=offer.fingerprint, until=ends)
    clock.now = ends - timedelta(microseconds=1)
    assert reason(ledger, offer) == ""
    clock.now = ends
    assert reason(ledger, offer) == "expired"
    with ledger.change("administrator") as change:
        extend_key(change, "cito", offer.fingerprint, None)
    assert asked(ledger, offer).until is None and reason(ledger, offer) == ""


@pytest.mark.parametrize(("valid_from", "valid_until"), [(None, START), (START + timedelta(days=2), START + timedelta(days=1))])
def test_a_key_can_not_end_before_it_begins(
    ledger: Ledger, pairs: dict[str, Path], valid_from: datetime | None, valid_until: datetime
) -> None:
    with pytest.raises(Refused) as refusal:
        add(ledger, pairs["key"], valid_from=valid_from, valid_until=valid_until)
    assert refusal.value.code == "bad-validity"


def test_networks(ledger: Ledger, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"], sources=("192.0.2.9/24", "2001:db8::/32"))
    allowed = ["192.0.2.1", "::ffff:192.0.2.9", "2001:db8::7", "2001:db8::7%eth0"]
    refused = ["198.51.100.1", "2001:db9::1", "", "unix", "192.0.2"]
    assert [reason(ledger, offer_of(pairs["key"]), address=address) for address in allowed] == [""] * len(allowed)
    assert [reason(ledger, offer_of(pairs["key"]), address=address) for address in refused] == ["source-not-allowed"] * len(refused)


def test_a_withdrawn_key_or_account_opens_nothing(ledger: Ledger, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"])
    add(ledger, pairs["second"])
    with ledger.change("administrator") as change:
        revoke_key(change, "cito", key_of(pairs["key"]).fingerprint)
    assert reason(ledger, offer_of(pairs["key"])) == "key-unknown" and reason(ledger, offer_of(pairs["second"])) == ""
    with ledger.change("administrator") as change:
        remove_vendor(change, "cito")
    assert reason(ledger, offer_of(pairs["second"])) == "account-unknown"
    add(ledger, pairs["third"])  # the account comes back, its keys do not
    assert reason(ledger, offer_of(pairs["second"])) == "key-unknown" and reason(ledger, offer_of(pairs["third"])) == ""


def test_a_security_key_may_have_to_verify_its_user(ledger: Ledger, pairs: dict[str, Path]) -> None:
    key = SecurityKey()
    with ledger.change("administrator") as change:
        add_vendor(change, "cito", [])
        add_keys(change, "cito", read_public_keys(key.line), Terms(verify_required=True))
    assert asked(ledger, read_offer(key.blob)).verify_required
    with pytest.raises(Refused) as refusal:
        add(ledger, pairs["key"], verify_required=True)
    assert refusal.value.code == "not-a-security-key"


# ---------------------------------------------------------------- certificates


def test_a_certificate_opens_the_account_of_its_ca(ledger: Ledger, pairs: dict[str, Path]) -> None:
    trust(ledger, pairs["ca"])
    ends = START + timedelta(hours=1)
    offer = certificate_of(pairs["ca"], pairs["key"], valid_until=ends)
    assert asked(ledger, offer) == Admission(fingerprint=fingerprint(blob_of(public_line(pairs["ca"]))), until=ends)
    assert reason(ledger, replace(offer, certificate=None)) == "key-unknown", "the key alone is not the vendor's"
    assert reason(ledger, certificate_of(pairs["other"], pairs["key"])) == "ca-unknown"
    trust(ledger, pairs["other"], "cito", vendor="boom")
    assert reason(ledger, certificate_of(pairs["other"], pairs["key"])) == "ca-unknown", "the CA of another vendor"
    assert reason(ledger, offer, "boom") == "ca-unknown"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": 2}, "certificate-not-a-users"),
        ({"type": 0}, "certificate-not-a-users"),
        ({"signed_by": "ssh-rsa"}, "certificate-algorithm"),
        ({"signed_by": "ssh-dss"}, "certificate-algorithm"),
        ({"critical": {"force-command": b"\0\0\0\2id"}}, "certificate-option"),
        ({"critical": {"verify-required": b""}}, "certificate-option"),
        ({"critical": {"source-address": b"\0\0\0\3abc"}}, "certificate-option"),
        ({"critical": {"source-address": b"\0\0"}}, "certificate-option"),
        ({"critical": {"source-address": b"\0\0\0\0"}}, "certificate-option"),
        ({"critical": {"source-address": b"\0\0\0\x0f198.51.100.0/24"}}, "certificate-source"),
        ({"critical": {"source-address": b"\0\0\0\x0c192.0.2.0/24"}}, ""),
        ({"principals": ()}, "certificate-principal"),
        ({"principals": ("boom",)}, "certificate-principal"),
        ({"principals": ("CITO", "cito ", "*", "")}, "certificate-principal"),
        ({"principals": ("boom", "cito")}, ""),
        ({"valid_from": START + timedelta(seconds=1)}, "certificate-not-yet-valid"),
        ({"valid_from": START}, ""),
        ({"valid_until": START}, "certificate-expired"),
        ({"valid_until": START + timedelta(seconds=1)}, ""),
    ],
)
def test_a_certificate_must_be_good_itself(ledger: Ledger, pairs: dict[str, Path], changes: dict[str, Any], why: str) -> None:
    trust(ledger, pairs["ca"])
    assert reason(ledger, certificate_of(pairs["ca"], pairs["key"], **changes)) == why


def test_principals_and_terms_of_the_ca(ledger: Ledger, clock: Clock, pairs: dict[str, Path]) -> None:
    trust(ledger, pairs["ca"], "nacht", "dag", sources=("192.0.2.0/24",), valid_until=START + timedelta(days=1))
    offer = certificate_of(pairs["ca"], pairs["key"], principals=("dag",))
    assert asked(ledger, offer).until == START + timedelta(days=1), "the CA's end comes before the certificate's"
    assert reason(ledger, certificate_of(pairs["ca"], pairs["key"])) == "certificate-principal", "the account's name is not on the list"
    assert reason(ledger, offer, address="198.51.100.1") == "source-not-allowed"
    clock.forward(days=1)
    assert reason(ledger, offer) == "expired"


def test_a_withdrawn_ca_or_serial_opens_nothing(ledger: Ledger, pairs: dict[str, Path]) -> None:
    trust(ledger, pairs["ca"])
    offer = certificate_of(pairs["ca"], pairs["key"])
    other = certificate_of(pairs["ca"], pairs["key"], serial=5)
    with ledger.change("administrator") as change:
        assert revoke_entries(change, "cito", [of_serials(4, 4)]) == 1
    assert reason(ledger, offer) == "revoked" and reason(ledger, other) == ""
    with ledger.change("administrator") as change:
        remove_ca(change, "cito", key_of(pairs["ca"]).fingerprint)
    assert reason(ledger, other) == "ca-unknown"
    with ledger.change("administrator") as change, pytest.raises(NotFound):
        remove_ca(change, "cito", key_of(pairs["ca"]).fingerprint)


def test_a_key_is_one_vendors_key_or_ca(ledger: Ledger, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"])
    trust(ledger, pairs["ca"], vendor="boom")
    for attempt in (
        lambda: add(ledger, pairs["key"], "boom"), lambda: trust(ledger, pairs["key"], vendor="boom"),
        lambda: add(ledger, pairs["ca"]), lambda: trust(ledger, pairs["ca"]),
    ):  # fmt: skip
        with pytest.raises(Refused) as refusal:
            attempt()
        assert refusal.value.code == "key-in-use"


# ---------------------------------------------------------------- alike for everybody


@pytest.fixture
def statements(ledger: Ledger) -> Iterator[list[str]]:
    seen: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    yield seen


def test_the_same_is_asked_of_the_database_whoever_it_is(ledger: Ledger, statements: list[str], pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"])
    trust(ledger, pairs["ca"])
    add(ledger, pairs["second"], "boom")
    with ledger.change("administrator") as change:
        remove_vendor(change, "boom")
    questions = []
    for vendor in ("cito", "boom", "nobody", "", "x" * 5000, "cito\0"):
        if ledger.engine.dialect.name == "postgresql" and "\0" in vendor:
            continue  # asyncssh refuses it before (tests/hostile/test_intake_login.py)
        for offer in (
            None, offer_of(pairs["key"]), offer_of(pairs["third"]), certificate_of(pairs["ca"], pairs["third"]),
            certificate_of(pairs["other"], pairs["third"]),
        ):  # fmt: skip
            statements.clear()
            reason(ledger, offer, vendor)
            questions.append([statement for statement in statements if statement.startswith("SELECT")])
    assert len(questions[0]) == 1
    assert all(question == questions[0] for question in questions)


# ---------------------------------------------------------------- what happened


def test_the_last_login_of_each_key_and_one_audit_entry_a_day_and_address(ledger: Ledger, clock: Clock, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"])
    late = START.replace(hour=23, minute=59)
    logins = [
        Login("cito", "SHA256:a", HERE, START + timedelta(minutes=1)),
        Login("cito", "SHA256:a", HERE, START),
        Login("cito", "SHA256:b", HERE, START),
        Login("cito", "SHA256:a", "198.51.100.1", late),
        Login("cito", "SHA256:a", "198.51.100.1", late + timedelta(minutes=2)),
    ]
    for batch in (logins[:3], logins[3:]):
        with ledger.change("intake") as change:
            note_logins(change, batch)
    with ledger.view() as session:
        told = last_logins(session, "cito")
    assert {key: (row.last_at, row.origin, row.logins) for key, row in told.items()} == {
        "SHA256:a": (late + timedelta(minutes=2), "198.51.100.1", 4),
        "SHA256:b": (START, HERE, 1),
    }
    assert sorted((row.detail["key"], row.origin) for row in audit_rows(ledger, "login")) == [
        ("SHA256:a", HERE), ("SHA256:a", "198.51.100.1"), ("SHA256:a", "198.51.100.1"), ("SHA256:b", HERE),
    ]  # fmt: skip


def test_every_change_is_told_to_the_audit_log_and_holds_no_key_itself(ledger: Ledger, pairs: dict[str, Path]) -> None:
    add(ledger, pairs["key"], sources=("192.0.2.0/24",), valid_until=datetime(2027, 1, 1, tzinfo=UTC))
    trust(ledger, pairs["ca"], "dag")
    with ledger.change("administrator") as change:
        add_keys(change, "cito", [key_of(pairs["second"])], Terms())
        extend_key(change, "cito", key_of(pairs["second"]).fingerprint, datetime(2028, 1, 1, tzinfo=UTC))
        revoke_entries(change, "cito", [of_serials(123456782, 123456782)])  # a number that passes the elfproef may be a serial
        revoke_key(change, "cito", key_of(pairs["second"]).fingerprint)
        remove_ca(change, "cito", key_of(pairs["ca"]).fingerprint)
        remove_vendor(change, "cito")
    rows = audit_rows(ledger, "vendor.")
    assert sorted(row.action.removeprefix("vendor.") for row in rows) == [
        "added", "added", "ca-added", "ca-removed", "key-added", "key-extended", "key-revoked", "removed", "revoked",
    ]  # fmt: skip
    terms = {"valid_until": "2027-01-01T00:00:00+00:00", "sources": ["192.0.2.0/24"]}
    assert any(terms.items() <= row.detail.items() for row in rows)
    assert "AAAA" not in "".join(str(row.detail) for row in rows)
    with ledger.view() as session:
        assert vendor_keys(session, "cito") == [] and len(vendor_keys(session, "cito", revoked=True)) == 2
