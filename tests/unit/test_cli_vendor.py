"""`sluis vendor`: accounts, keys with an end, CAs, revocations and limits, as an administrator types them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store.entrance import Login, admit, note_logins
from gateway.store.home import Home
from gateway.store.host_keys import LEARN_DAYS, announce_next, host_key_names, retire_first
from gateway.store.ssh_keys import fingerprint
from gateway.store.ssh_offers import read_offer
from gateway.store.vendor_limits import LIMITS, limits_of
from policies.errors import Refused
from tests.support.cli import Cli
from tests.support.ssh_keys import SecurityKey, blob_of, certify, make_krl, make_pair, public_line


@pytest.fixture
def cito(sluis: Cli, tmp_path: Path) -> Iterator[Path]:
    """A vendor with one key; its private half."""
    pair = make_pair(tmp_path, "cito")
    sluis("vendor", "add", "cito", "--ssh-key", f"{pair}.pub")
    yield pair


def print_of(pair: Path) -> str:
    return fingerprint(blob_of(public_line(pair)))


def reason(sluis: Cli, line: str, vendor: str = "cito") -> str:
    home = sluis.opened()
    with home.ledger.view() as session:
        return admit(session, vendor, read_offer(blob_of(line)), "192.0.2.1", home.clock()).reason


def test_keys_come_with_their_time_and_networks(sluis: Cli, cito: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "second")
    sluis(
        "vendor", "key", "add", "cito", "--ssh-key", f"{pair}.pub", "--from", "192.0.2.9/24", "--from", "2001:db8::/32",
        "--valid-from", "2030-01-01T00:00", "--valid-until", "2031-01-01T00:00+00:00",
    )  # fmt: skip
    first, second = sluis("vendor", "show", "cito")["keys"]
    assert (first["state"], first["from"], first["valid_until"], first["last_login"]) == ("valid", ["anywhere"], None, None)
    assert second["fingerprint"] == print_of(pair) and second["state"] == "not yet valid"
    assert second["from"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert (second["valid_from"], second["valid_until"]) == ("2029-12-31T23:00:00+00:00", "2031-01-01T00:00:00+00:00")
    assert reason(sluis, public_line(pair)) == "not-yet-valid" and reason(sluis, public_line(cito)) == ""


def test_an_end_is_moved_and_taken_away(sluis: Cli, cito: Path) -> None:
    moved = sluis("vendor", "key", "extend", "cito", print_of(cito), "--valid-until", "2031-01-01T00:00+00:00")
    assert moved["valid_until"] == "2031-01-01T00:00:00+00:00"
    assert sluis("vendor", "show", "cito")["keys"][0]["valid_until"] == "2031-01-01T00:00:00+00:00"
    assert sluis("vendor", "key", "extend", "cito", print_of(cito), "--for-ever")["valid_until"] is None
    for wrong in ([], ["--for-ever", "--valid-until", "2031-01-01T00:00"]):
        sluis.refused("vendor", "key", "extend", "cito", print_of(cito), *wrong, status=2)
    sluis.refused("vendor", "key", "extend", "cito", print_of(cito), "--valid-until", "2020-01-01T00:00")
    sluis.refused("vendor", "key", "extend", "cito", "SHA256:nope", "--for-ever")


def test_a_key_goes_and_the_others_stay(sluis: Cli, cito: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "second")
    sluis("vendor", "key", "add", "cito", "--ssh-key", f"{pair}.pub")
    sluis("vendor", "key", "remove", "cito", print_of(cito))
    assert [key["fingerprint"] for key in sluis("vendor", "show", "cito")["keys"]] == [print_of(pair)]
    assert reason(sluis, public_line(cito)) == "key-unknown" and reason(sluis, public_line(pair)) == ""
    sluis.refused("vendor", "key", "remove", "cito", print_of(cito))
    sluis.refused("vendor", "key", "add", "nobody", "--ssh-key", f"{cito}.pub")


def test_security_keys_and_what_they_must_do(sluis: Cli, cito: Path, tmp_path: Path) -> None:
    (tmp_path / "sk.pub").write_text(SecurityKey().line)
    sluis("vendor", "key", "add", "cito", "--ssh-key", str(tmp_path / "sk.pub"), "--verify-required")
    assert sluis("vendor", "show", "cito")["keys"][1]["verify_required"] is True
    pair = make_pair(tmp_path, "plain")
    assert "security key" in sluis.refused("vendor", "key", "add", "cito", "--ssh-key", f"{pair}.pub", "--verify-required")
    (tmp_path / "options.pub").write_text(f"no-touch-required {SecurityKey().line}")
    assert "Options" in sluis.refused("vendor", "key", "add", "cito", "--ssh-key", str(tmp_path / "options.pub"))


def test_cas_and_their_principals(sluis: Cli, cito: Path, tmp_path: Path) -> None:
    ca, key = make_pair(tmp_path, "ca"), make_pair(tmp_path, "key")
    made = sluis(
        "vendor", "ca", "add", "cito", "--key", f"{ca}.pub", "--principal", "nacht", "--principal", "dag", "--from", "192.0.2.0/24"
    )
    assert (made["ca"], made["principals"]) == (print_of(ca), ["dag", "nacht"])
    (shown,) = sluis("vendor", "show", "cito")["cas"]
    assert (shown["fingerprint"], shown["principals"], shown["from"]) == (print_of(ca), ["dag", "nacht"], ["192.0.2.0/24"])
    assert reason(sluis, certify(ca, key, ["dag"])) == "" and reason(sluis, certify(ca, key, ["cito"])) == "certificate-principal"
    (row,) = sluis("vendor", "list")
    assert (row["keys"], row["cas"]) == (1, 1)
    assert "belongs" in sluis.refused("vendor", "ca", "add", "cito", "--key", f"{ca}.pub")
    sluis.refused("vendor", "ca", "add", "cito", "--key", f"{key}.pub", "--principal", "a\nb")
    sluis("vendor", "ca", "remove", "cito", print_of(ca))
    assert reason(sluis, certify(ca, key, ["dag"])) == "ca-unknown"
    sluis.refused("vendor", "ca", "remove", "cito", print_of(ca))


def test_revoking_by_everything_that_names_a_certificate(sluis: Cli, cito: Path, tmp_path: Path) -> None:
    ca, key, other = (make_pair(tmp_path, name) for name in ("ca", "key", "other"))
    sluis("vendor", "ca", "add", "cito", "--key", f"{ca}.pub")
    krl = tmp_path / "krl"
    make_krl(krl, ca=ca, spec=["serial: 70-79"])
    told = sluis(
        "vendor",
        "ca",
        "revoke",
        "cito",
        "--serial",
        "5",
        "--serial",
        "10-20",
        "--key-id",
        "kwijt",
        "--key",
        f"{other}.pub",
        "--krl",
        str(krl),
    )
    assert (told["entries"], told["new"]) == (5, 5) and sluis("vendor", "show", "cito")["revocations"] == 5
    revoked = {serial: reason(sluis, certify(ca, key, serial=serial)) == "revoked" for serial in (4, 5, 9, 10, 20, 21, 69, 70, 79, 80)}
    assert [serial for serial, gone in revoked.items() if gone] == [5, 10, 20, 70, 79]
    assert reason(sluis, certify(ca, key, serial=4, key_id="kwijt")) == "revoked"
    assert reason(sluis, certify(ca, other, serial=4)) == "revoked"
    assert sluis("vendor", "ca", "revoke", "cito", "--krl", str(krl))["new"] == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 2), (["--serial", "x"], 2), (["--serial", "5-"], 2), (["--serial", "7-6"], 1), (["--serial", str(2**64)], 1),
        (["--krl", "/nowhere"], 1), (["--krl", "KEY"], 1), (["--serial", "1", "--ca", "SHA256:nope"], 1), (["--key", "/nowhere"], 1),
    ],
)  # fmt: skip
def test_what_can_not_be_revoked(arguments: list[str], status: int, sluis: Cli, cito: Path) -> None:
    arguments = [str(cito) + ".pub" if argument == "KEY" else argument for argument in arguments]
    sluis.refused("vendor", "ca", "revoke", "cito", *arguments, status=status)
    assert sluis("vendor", "show", "cito")["revocations"] == 0


def test_limits_of_one_vendor(sluis: Cli, cito: Path) -> None:
    home = sluis.opened()
    usual = limits_of({}, home.config.intake)
    assert sluis("vendor", "show", "cito")["limits"] == usual and set(usual) == set(LIMITS)
    told = sluis("vendor", "limit", "set", "cito", "max_sessions=4", "day_bytes=20GiB", "max_file_bytes=1_000_000", "bytes_per_second=0")
    own = {"max_sessions_per_vendor": 4, "day_bytes_per_vendor": 20 << 30, "max_file_bytes": 10**6, "bytes_per_second_per_vendor": 0}
    assert told["own_limits"] == own and told["limits"] == usual | own
    shown = sluis("vendor", "show", "cito")
    assert shown["own_limits"] == own and shown["limits"] == usual | own
    assert set(sluis("vendor", "limit", "clear", "cito", "max_sessions")["own_limits"]) == set(own) - {"max_sessions_per_vendor"}
    assert sluis("vendor", "limit", "clear", "cito")["limits"] == usual


@pytest.mark.parametrize(
    ("given", "status"),
    [("max_sessions", 2), ("max_sessions=", 2), ("max_sessions=-1", 2), ("max_sessions=0", 1), ("max_sessions=4GiB", 2),
     ("day_bytes=4parsec", 2), ("port=1", 1), ("day_bytes=1.5GiB", 2), ("=4", 1)],
)  # fmt: skip
def test_what_is_no_limit(given: str, status: int, sluis: Cli, cito: Path) -> None:
    sluis.refused("vendor", "limit", "set", "cito", given, status=status)
    assert sluis("vendor", "show", "cito")["own_limits"] == {}


def test_the_last_login_is_shown(sluis: Cli, cito: Path) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with sluis.opened().ledger.change("intake") as change:
        note_logins(change, [Login("cito", print_of(cito), "192.0.2.1", at)])
    shown = sluis("vendor", "show", "cito")
    assert shown["last_login"] == at.isoformat() == sluis("vendor", "list")[0]["last_login"]
    assert shown["keys"][0]["last_login"] == {"at": at.isoformat(), "origin": "192.0.2.1", "logins": 1}


def test_people_can_read_it_too(sluis: Cli, cito: Path) -> None:
    status, out, _ = sluis.run("vendor", "show", "cito")
    assert status == 0 and print_of(cito) in out and "anywhere" in out


# ---------------------------------------------------------------- the host key


def test_the_host_key_rotates_in_two_steps(home: Home) -> None:
    with pytest.raises(Refused) as refusal:
        retire_first(home)
    assert refusal.value.code == "no-next-key"
    name = announce_next(home)
    assert host_key_names(home) == ["host", name]
    with pytest.raises(Refused) as refusal:
        announce_next(home)
    assert refusal.value.code == "rotation-under-way"
    with pytest.raises(Refused) as refusal:
        retire_first(home)
    assert refusal.value.code == "rotation-too-early" and host_key_names(home) == ["host", name]
    later = home.clock() + timedelta(days=LEARN_DAYS, minutes=1)
    home.ledger.clock = lambda: later
    assert retire_first(home) == name and host_key_names(home) == [name]
    second = announce_next(home)
    assert host_key_names(home) == [name, second], "the older one is still shown first"


def test_the_command_tells_what_to_do_next(sluis: Cli) -> None:
    announced = sluis("key", "rotate", "ssh-host")
    assert announced["state"] == "next" and announced["public_key"].startswith("ssh-ed25519 ") and "retire_old_from" in announced
    sluis.refused("key", "rotate", "ssh-host")
    used = sluis("key", "rotate", "ssh-host", "--now")
    assert (used["state"], used["fingerprint"]) == ("in use", announced["fingerprint"])
    actions = [row["action"] for row in sluis("audit", "show")]
    assert "key.announced" in actions and "key.retired" in actions
