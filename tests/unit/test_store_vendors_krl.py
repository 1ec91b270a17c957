"""Revocation lists: what ssh-keygen says is revoked by a list is revoked here, by the same list."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.ledger import Ledger
from gateway.store.models import Vendor
from gateway.store.revocations import MAX_ENTRIES, Entry, is_revoked, of_key, of_key_id, of_serials, read_krl, revocations, revoke
from gateway.store.ssh_keys import fingerprint
from gateway.store.ssh_offers import Offer, read_offer
from policies.errors import Refused
from tests.support.ledgers import START
from tests.support.ssh_keys import blob_of, certify, make_krl, make_pair, public_line


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_pair(folder, name) for name in ("ca", "other", "key", "second")}


def take(ledger: Ledger, entries: list[Entry], vendor: str = "cito") -> int:
    with ledger.change("administrator") as change:
        if change.session.get(Vendor, vendor) is None:
            change.session.add(Vendor(name=vendor, created_at=START))
            change.session.flush()
        return revoke(change, vendor, entries)


def revoked(ledger: Ledger, offer: Offer | None, vendor: str = "cito") -> bool:
    with ledger.view() as session:
        return is_revoked(session, vendor, offer)


def test_a_list_says_of_each_certificate_what_ssh_keygen_says(ledger: Ledger, pairs: dict[str, Path], tmp_path: Path) -> None:
    spec = ["serial: 7", "serial: 100-200", "serial: 1000", "serial: 1002", "serial: 1003", "serial: 1009", "id: nachtrun"]
    spec += [f"serial: {2**63}-{2**63 + 9}"]
    take(ledger, read_krl(make_krl(tmp_path / "krl", ca=pairs["ca"], spec=spec)))
    asked = [
        (serial, "dag") for serial in (1, 7, 8, 99, 100, 150, 200, 201, 1000, 1001, 1002, 1003, 1004, 1009, 2**63, 2**63 + 10, 2**64 - 1)
    ]
    expected, found = [], []
    for serial, key_id in [*asked, (5, "nachtrun"), (5, "nachtrun2")]:
        for ca in ("ca", "other"):
            line = certify(pairs[ca], pairs["key"], serial=serial, key_id=key_id)
            answer = subprocess.run(["ssh-keygen", "-Q", "-f", str(tmp_path / "krl"), f"{pairs['key']}-cert.pub"], capture_output=True)
            expected.append(answer.returncode != 0)
            found.append(revoked(ledger, read_offer(blob_of(line))))
    assert found == expected and True in expected and False in expected


@pytest.mark.parametrize("form", ["key", "sha1", "sha256", "plain"])
def test_a_key_on_a_list_is_worth_nothing_alone_or_certified_or_as_a_ca(
    form: str, ledger: Ledger, pairs: dict[str, Path], tmp_path: Path
) -> None:
    line = public_line(pairs["key"])
    if form == "plain":
        krl = make_krl(tmp_path / "krl", keys=[Path(f"{pairs['key']}.pub")])
    else:
        krl = make_krl(tmp_path / "krl", spec=[f"{form}: {line}"])
    take(ledger, read_krl(krl))
    assert revoked(ledger, read_offer(blob_of(line)))
    assert revoked(ledger, read_offer(blob_of(certify(pairs["ca"], pairs["key"]))))
    assert revoked(ledger, read_offer(blob_of(certify(pairs["key"], pairs["second"]))))
    assert not revoked(ledger, read_offer(blob_of(public_line(pairs["second"]))))
    assert not revoked(ledger, read_offer(blob_of(line)), vendor="boom"), "another vendor's list says nothing about it"
    assert not revoked(ledger, None)


def test_a_list_of_several_cas_and_of_none(ledger: Ledger, pairs: dict[str, Path], tmp_path: Path) -> None:
    make_krl(tmp_path / "krl", ca=pairs["ca"], spec=["serial: 5"])
    subprocess.run(
        ["ssh-keygen", "-q", "-k", "-u", "-f", tmp_path / "krl", "-s", f"{pairs['other']}.pub", "-"], input=b"serial: 6\n", check=True
    )
    entries = read_krl((tmp_path / "krl").read_bytes())
    cas = {name: fingerprint(blob_of(public_line(pairs[name]))) for name in ("ca", "other")}
    assert set(entries) == {of_serials(5, 5, cas["ca"]), of_serials(6, 6, cas["other"])}
    take(ledger, [of_serials(9, 9)])
    assert all(revoked(ledger, read_offer(blob_of(certify(pairs[name], pairs["key"], serial=9)))) for name in cas)


def test_a_newer_list_takes_nothing_back(ledger: Ledger, pairs: dict[str, Path], tmp_path: Path) -> None:
    first = read_krl(make_krl(tmp_path / "one", ca=pairs["ca"], spec=["serial: 5", "serial: 9"]))
    assert take(ledger, first) == 2 and take(ledger, first) == 0
    assert take(ledger, read_krl(make_krl(tmp_path / "two", ca=pairs["ca"], spec=["serial: 9", "serial: 11"]))) == 1
    with ledger.view() as session:
        assert revocations(session, "cito") == 3
    assert revoked(ledger, read_offer(blob_of(certify(pairs["ca"], pairs["key"], serial=5))))


@settings(max_examples=60)
@given(st.sets(st.one_of(st.integers(1, 400), st.integers(2**64 - 400, 2**64 - 1)), min_size=1, max_size=150))
def test_whatever_form_ssh_keygen_chooses_the_serials_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Path], serials: set[int]
) -> None:
    krl = make_krl(tmp_path_factory.mktemp("krl") / "krl", ca=pairs["ca"], spec=[f"serial: {serial}" for serial in sorted(serials)])
    found: set[int] = set()
    for entry in read_krl(krl):
        found |= set(range(int(entry.value, 16), int(entry.last, 16) + 1))
    assert found == serials


@given(data=st.data())
def test_a_damaged_list_is_refused_or_read_and_nothing_worse(
    data: st.DataObject, pairs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if "krl" not in KEPT:
        path = tmp_path_factory.mktemp("krl") / "krl"
        KEPT["krl"] = make_krl(
            path, ca=pairs["ca"], spec=["serial: 1-50", "serial: 60", "serial: 62", "id: x", f"sha1: {public_line(pairs['key'])}"]
        )
    good = KEPT["krl"]
    at = data.draw(st.integers(0, len(good) - 1))
    cut = data.draw(st.booleans())
    changed = good[:at] if cut else good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        entries = read_krl(changed)
    except Refused as refusal:
        assert refusal.code in ("bad-krl", "bad-serial", "krl-too-long")
    else:
        assert all(isinstance(entry, Entry) for entry in entries)


KEPT: dict[str, bytes] = {}


@pytest.mark.parametrize("text", [b"", b"SSHKRL\n\0", b"ssh-ed25519 AAAA", b"\0" * 200])
def test_other_files_are_refused(text: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        read_krl(text)
    assert refusal.value.code == "bad-krl"


def test_a_list_that_revokes_too_much_is_refused(pairs: dict[str, Path], tmp_path: Path) -> None:
    spec = [f"id: {number}" for number in range(MAX_ENTRIES + 1)]
    with pytest.raises(Refused) as refusal:
        read_krl(make_krl(tmp_path / "krl", ca=pairs["ca"], spec=spec))
    assert refusal.value.code == "krl-too-long"


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (5, 4), (0, 2**64)])
def test_serials_are_64_bit_numbers(first: int, last: int) -> None:
    with pytest.raises(Refused) as refusal:
        of_serials(first, last)
    assert refusal.value.code == "bad-serial"


def test_a_key_id_and_a_serial_count_for_their_ca_only(ledger: Ledger, pairs: dict[str, Path]) -> None:
    offer = read_offer(blob_of(certify(pairs["ca"], pairs["key"], serial=3, key_id="x")))
    assert offer.certificate is not None
    take(ledger, [of_key_id("x", "SHA256:other"), of_serials(3, 3, "SHA256:other")])
    assert not revoked(ledger, offer)
    take(ledger, [of_key_id("x", offer.certificate.ca)])
    assert revoked(ledger, offer)
    assert not revoked(ledger, replace(offer, certificate=None)), "its key alone is not what was revoked"
    take(ledger, [of_key(offer.blob)])
    assert revoked(ledger, replace(offer, certificate=None))
