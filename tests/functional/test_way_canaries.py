"""Nothing that identifies a pupil is left: planted identifiers are looked for in every file of a home that went through a campaign.

A search that finds nothing proves nothing unless it can find. Therefore it must find all of them in the same drops with the keys in
hand, and in a file that keeps them in any one of the forms it knows.
"""

import base64
import gzip
import io
import sqlite3
import struct
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyrage
import pytest

from gateway.demo.board import Taken, take_zip
from gateway.drop.formats import is_openpgp
from gateway.store.home import Home
from gateway.store.recipient_keys import prepare_recipients
from keys.chunked import Reader
from keys.openpgp import gpg_home
from tests.support.canaries import EPOCH, Hit, Search, needles
from tests.support.gateway import CAMPAIGN, Gateway, opened
from tests.support.openpgp import VendorGpg, turn
from tests.support.pupils import PER_SCHOOL, Pupil, delivery, objections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: of each school's pupils these are looked for; the first and the third have parents who object
PLANTED, OBJECTING = (0, 1, 5, 11), (0, 5)


def planted(gateway: Gateway) -> list[Pupil]:
    return [pupil for at, pupil in enumerate(gateway.at()) if at % PER_SCHOOL in PLANTED]


@dataclass
class Played:
    """A campaign that was played, and what was found when."""

    wanted: set[str]  # every canary
    arrived_raw: set[Hit] = field(default_factory=set)  # all delivered, nothing read yet
    arrived_with_keys: set[str] = field(default_factory=set)
    drops_with_keys: int = 0
    after_raw: set[Hit] = field(default_factory=set)
    after_with_keys: int = 0
    bundles: set[Hit] = field(default_factory=set)
    looked_at: int = 0
    taken: Taken | None = None
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    linked_rows: int = 0


def with_keys(home: Home, search: Search) -> int:
    """Search what the vendors encrypted, with every key of the home; how many drops could be opened."""
    identities = [pyrage.x25519.Identity.from_str(secret.reveal().decode().strip()) for secret in home.recipients.identities().values()]
    found = opened(home)
    for drop, delivered in found.items():
        search.data(delivered, drop)
        with suppress(pyrage.DecryptError, OSError):  # one was never encrypted, one was cut short, two are OpenPGP's
            search.data(pyrage.decrypt(delivered, identities), f"{drop}, decrypted")  # gunzips by itself
        if is_openpgp(delivered):
            with gpg_home() as gpg:
                gpg.take_in(list(home.recipients.openpgp_keys().values()))
                search.data(gpg.run("--skip-verify", "--decrypt", given=delivered), f"{drop}, decrypted")
    return len(found)


def open_bundles(home: Home, search: Search) -> None:
    for path in home.bundles.iterdir():
        if not path.name.startswith("."):
            with path.open("rb") as file:
                reader = Reader(home.mortal.read("bundles", path.name), path.name, file)
                with zipfile.ZipFile(io.BytesIO(b"".join(reader.read_range(0, reader.size)))) as archive:
                    for name in archive.namelist():
                        search.data(archive.read(name), f"{path.name} › {name}")


def turn_openpgp_on(gateway: Gateway) -> None:
    """And a key is handed out that has both halves."""
    turn(gateway.home.path, True)
    gateway.home = Home.open(gateway.home.path)
    prepare_recipients(gateway.home)


def signed_by_esis(gateway: Gateway) -> tuple[bytes, bytes]:
    """A delivery and a register of objections, as a vendor's gpg makes them who has a signing key registered."""
    there = [pupil for at, pupil in enumerate(gateway.at()) if at % PER_SCHOOL == OBJECTING[0] and pupil.school == "41BA00"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        gpg = VendorGpg(Path(folder) / "v")
        try:
            gpg.own_key("Esis", "ed25519", "sign", "never")
            public = gateway.folder / "esis.asc"
            public.write_bytes(gpg.public("Esis"))
            gateway.sluis("vendor", "signing-key", "add", "esis", public)
            to = gpg.learn((gateway.home.public / "sluis.pgp.asc").read_text())
            plain = delivery(gateway.at("41BA00"), gateway.today), objections(["41BA00"], there, gateway.today)
            return gpg.signed(plain[0], to, "Esis"), gpg.signed(plain[1], to, "Esis", options=("--armor", "--throw-keyids"))
        finally:
            gpg.end()


def deliver(gateway: Gateway) -> list[str]:
    """Everything, in the ways in which vendors deliver; answers the names of the drops that will be linked."""
    cito, esis, today = gateway.door("cito"), gateway.door("esis"), gateway.today
    cito.deliver("plat.csv.age", gateway.sealed(delivery(gateway.at("41AA00"), today)))
    cito.deliver("half.csv.gz.age.part", gateway.sealed(gzip.compress(delivery(gateway.at("41AB00"), today))))
    cito.sftp.rename("leveringen/half.csv.gz.age.part", "leveringen/heel.csv.gz.age")
    by_gpg = signed_by_esis(gateway)
    esis.deliver("esis.csv.gpg", by_gpg[0])
    cut = gateway.sealed(delivery(gateway.at("41AA00"), today))[:-50]
    cito.deliver("afgekapt.csv.age", cut)
    header, rest = delivery(gateway.at("41AB00"), today).split(b"\n", 1)
    cito.deliver("geloof.csv.age", gateway.sealed(header + b";geloof\n" + rest.replace(b"\n", b";x\n")))
    cito.deliver("leesbaar.csv", delivery(gateway.at("41AB00"), today))
    objecting = [pupil for at, pupil in enumerate(gateway.at()) if at % PER_SCHOOL in OBJECTING]
    here = [pupil for pupil in objecting if pupil.school != "41BA00"]
    cito.deliver("bezwaar.csv.age", gateway.sealed(objections(["41AA00", "41AB00"], here, today)), "bezwaren")
    esis.deliver("bezwaar.csv.gpg", by_gpg[1], "bezwaren")  # of one; the other comes on paper
    return ["plat.csv.age", "heel.csv.gz.age", "esis.csv.gpg"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """From the first byte to a board's zip, by the real roles."""
    folder = tmp_path_factory.mktemp("canaries")
    gateway = Gateway(folder)
    wanted = needles(planted(gateway))
    result = Played({needle.canary for needle in wanted})
    turn_openpgp_on(gateway)
    gateway.start("intake")
    try:
        names = deliver(gateway)
        raw, keyed = Search(wanted), Search(wanted)
        raw.folder(gateway.home.path)
        result.drops_with_keys = with_keys(gateway.home, keyed)
        result.arrived_raw, result.arrived_with_keys = raw.hits, keyed.canaries
        on_paper = [pupil for at, pupil in enumerate(gateway.at()) if pupil.school == "41BA00" and at % PER_SCHOOL == OBJECTING[1]]
        gateway.start("worker", "portal")
        gateway.settled(["geloof.csv.age", "leesbaar.csv"], ["rejected"])
        gateway.settled(["afgekapt.csv.age"], ["incomplete"])
        gateway.settled(names, ["linked"])
        gateway.sluis("objection", "add", "41BA00", "--campaign", CAMPAIGN, given=on_paper[0].onderwijsnummer)
        gateway.sluis("drop", "erase", gateway.drop("afgekapt.csv.age").id, "--reason", "wordt niet meer aangevuld")
        gateway.sluis("report", "build", "--campaign", CAMPAIGN)
        gateway.sluis("publish", "--campaign", CAMPAIGN)
        password = gateway.sluis("credential", "issue", "41001")[0]["password"]
        address = f"https://localhost:{gateway.portal_port}"
        result.taken = take_zip(address, gateway.home.public / "portal.pem", "41001", password, CAMPAIGN)
        gateway.sluis("retention", "run")
        assert gateway.sluis("audit", "verify")["sound"]
        result.states = {f"{drop.folder}/{drop.vendor}/{drop.file_name}": (drop.state, drop.raw) for drop in gateway.drops()}
        result.linked_rows = sum(part.rows for part in gateway.parts().values())
    finally:
        gateway.stop()
    after, bundles = Search(wanted), Search(wanted)
    after.folder(gateway.home.path)
    for place in ("tmp", "serve.log", "commands.log"):
        after.folder(folder / place) if (folder / place).is_dir() else after.file(folder / place)
    result.after_with_keys = with_keys(gateway.home, after)
    open_bundles(gateway.home, bundles)
    result.after_raw, result.bundles, result.looked_at = after.hits, bundles.hits, after.looked_at
    return result


def test_the_campaign_was_a_whole_one(played: Played) -> None:
    """Otherwise there would be little to find."""
    assert len(played.wanted) == 3 * 3 * len(PLANTED)
    assert {name: state for name, (state, _) in played.states.items()} == {
        "leveringen/cito/plat.csv.age": "linked",
        "leveringen/cito/heel.csv.gz.age": "linked",
        "leveringen/esis/esis.csv.gpg": "linked",
        "leveringen/cito/afgekapt.csv.age": "expired",
        "leveringen/cito/geloof.csv.age": "rejected",
        "leveringen/cito/leesbaar.csv": "rejected",
        "bezwaren/cito/bezwaar.csv.age": "registered",
        "bezwaren/esis/bezwaar.csv.gpg": "registered",
    }
    assert {raw for _, raw in played.states.values()} == {"erased"}
    assert played.linked_rows == (3 * PER_SCHOOL - 6) * 12  # but for the six who objected, one of them after linking
    assert played.taken is not None
    assert sum(name.endswith(".pdf") for name in played.taken.names) >= 2
    assert played.looked_at > 200


def test_even_what_just_arrived_is_nowhere_readable(played: Played) -> None:
    """One vendor forgot to encrypt; on our disk its file is ciphertext all the same."""
    assert played.arrived_raw == set()


def test_with_the_keys_in_hand_the_search_finds_every_one(played: Played) -> None:
    assert played.drops_with_keys == 8
    assert played.arrived_with_keys == played.wanted


def test_once_erased_nothing_is_left_in_any_file(played: Played) -> None:
    assert played.after_raw == set()


def test_once_erased_the_keys_open_nothing(played: Played) -> None:
    assert played.after_with_keys == 0


def test_what_boards_get_holds_none_of_it(played: Played) -> None:
    assert played.bundles == set()


# ---------------------------------------------------------------- the search itself


def _numbers(who: list[Pupil]) -> list[int]:
    return [int(pupil.bsn or pupil.onderwijsnummer) for pupil in who]


def _text(who: list[Pupil]) -> bytes:
    return delivery(who, EPOCH.replace(year=2026, month=3, day=1))


def _sqlite(who: list[Pupil]) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pupil (number INTEGER)")
    connection.executemany("INSERT INTO pupil VALUES (?)", [(number,) for number in _numbers(who)])
    connection.commit()
    return connection.serialize()


def _deleted_from_sqlite(who: list[Pupil]) -> bytes:
    """What secure_delete is for: rows that are gone and still stand in the file."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE pupil (number TEXT)")
    connection.executemany("INSERT INTO pupil VALUES (?)", [(str(number),) for number in _numbers(who)])
    connection.execute("DELETE FROM pupil")
    connection.commit()
    return connection.serialize()


def _parquet(who: list[Pupil]) -> bytes:
    target = io.BytesIO()
    frame = pl.DataFrame({"n": pl.Series(_numbers(who), dtype=pl.UInt32), "birth": [pupil.birth for pupil in who]})
    frame.write_parquet(target, compression="zstd")
    return target.getvalue()


def _zip(who: list[Pupil]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", _text(who))
    return target.getvalue()


def _zstd(data: bytes) -> bytes:
    """A zstd frame out of a Parquet file's page: no other library here writes one."""
    target = io.BytesIO()
    pl.DataFrame({"text": [data]}).write_parquet(target, compression="zstd", statistics=False)
    whole = target.getvalue()
    return bytes(100) + whole[whole.index(b"\x28\xb5\x2f\xfd") : -8]


FORMS: dict[str, Callable[[list[Pupil]], bytes]] = {
    "text": _text,
    "UTF-16": lambda who: _text(who).decode().encode("utf-16"),
    "base64": lambda who: base64.b64encode(b"?" + _text(who)),
    "base64 in lines": lambda who: base64.encodebytes(_text(who)),
    "base64 of single values": lambda who: b"\n".join(base64.b64encode(f"{n}".encode()) for n in _numbers(who)),
    "hex": lambda who: _text(who).hex().encode(),
    "gzip": lambda who: b"before" + gzip.compress(_text(who)),
    "a gzip cut short": lambda who: gzip.compress(_text(who))[:-40],
    "zlib in the middle": lambda who: bytes(77) + zlib.compress(_text(who)) + bytes(77),
    "gzip in base64": lambda who: base64.b64encode(gzip.compress(_text(who))),
    "gzip in gzip": lambda who: gzip.compress(gzip.compress(_text(who))),
    "zstd": lambda who: _zstd(_text(who)),
    "zip": _zip,
    "separated digits": lambda who: b"\n".join(f"{n // 1_000_000}.{n // 1000 % 1000:03}.{n % 1000:03}".encode() for n in _numbers(who)),
    "u32 little": lambda who: struct.pack(f"<{len(who)}I", *_numbers(who)),
    "u32 big": lambda who: struct.pack(f">{len(who)}I", *_numbers(who)),
    "u64 little": lambda who: b"".join(struct.pack("<Qxxx", number) for number in _numbers(who)),
    "double": lambda who: struct.pack(f"<{len(who)}d", *_numbers(who)),
    "BCD": lambda who: b"".join(bytes.fromhex(f"{n}c") for n in _numbers(who)),
    "blocks of linking keys": lambda who: b"".join(
        struct.pack(">BIi7x", 2, n, (p.birth - EPOCH).days) for n, p in zip(_numbers(who), who, strict=True)
    ),
    "SQLite": _sqlite,
    "deleted from SQLite": _deleted_from_sqlite,
    "Parquet": _parquet,
}


@pytest.fixture(scope="module")
def who(tmp_path_factory: pytest.TempPathFactory) -> list[Pupil]:
    from tests.support.pupils import pupils

    return pupils(EPOCH.replace(year=2026, month=3, day=1))[:6]


@pytest.fixture(scope="module")
def haystack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as large as a small one, with nothing planted."""
    folder = tmp_path_factory.mktemp("haystack")
    (folder / "noise").write_bytes(subprocess.run(["head", "-c", "3000000", "/dev/urandom"], capture_output=True, check=True).stdout)
    (folder / "digits").write_text("".join(f"{number * 7919 % 1_000_003}" for number in range(100_000)))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_one_planted_file_is_found(form: str, who: list[Pupil], tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "planted").write_bytes(FORMS[form](who))
    search = Search(needles(who))
    search.folder(tmp_path)
    assert {f"number of {place}" for place in range(len(who))} <= search.canaries


def test_a_planted_name_is_found(who: list[Pupil], tmp_path: Path) -> None:
    (tmp_path / f"leerling-{who[0].bsn}.tmp").touch()
    search = Search(needles(who))
    search.folder(tmp_path)
    assert search.canaries == {"number of 0"}


def test_birth_date_and_postcode_are_found_by_themselves(who: list[Pupil], tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f'{{"birth": "{who[1].birth}", "address": "{who[1].postcode[:4]} {who[1].postcode[4:]}"}}')
    search = Search(needles(who))
    search.folder(tmp_path)
    assert search.canaries == {"birth of 1", "address of 1"}


def test_noise_is_not_taken_for_a_pupil(who: list[Pupil], haystack: Path) -> None:
    search = Search(needles(who))
    search.folder(haystack)
    assert search.hits == set()
