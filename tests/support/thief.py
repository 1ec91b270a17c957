"""A thief with time and skill: everything that was taken is tried as a key on everything else, again and again until nothing more opens.

What counts as a key: every age identity, and every 32 bytes in a row that could be random, as they stand or in hex or base64. What
counts as a lock: every age file, every file as AES-CTR ciphertext, every bundle. What is opened may hold keys and locks itself.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import pyrage
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.chunked import Reader
from keys.drop_cipher import DropCipher
from keys.secret import Secret
from policies.errors import SluisError
from tests.support.canaries import Needle, Search

AGE = b"age-encryption.org/v1\n"
IDENTITY = re.compile(rb"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}")
#: how a delivery begins: as the vendor encrypted it, or as the vendor forgot to
BEGINNINGS = (AGE[:16], b"brin_vestiging;b")
KEY = 32
#: of 32 random bytes 30 differ on average; one run in a thousand million has fewer than this: text and tables do
DISTINCT = 21
#: that could be read as a key in letters
HEX, BASE64 = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64,}"), re.compile(rb"[A-Za-z0-9+/_-]{43,}")


@dataclass
class Haul:
    """What the thief got out of it."""

    opened: dict[str, bytes] = field(default_factory=dict)  # what was opened, by how
    canaries: set[str] = field(default_factory=set)
    locks: int = 0  # age files, and first blocks that would have been recognised
    keys: int = 0  # identities, and runs of bytes that were tried

    def of(self, name: str) -> list[str]:
        """How the things were opened in whose path `name` stands."""
        return [how for how in self.opened if name in how]


class Workshop:
    """What was worked out once about a piece of data is not worked out again: thieves of one story take the same things."""

    def __init__(self, wanted: Sequence[Needle]) -> None:
        self._wanted = wanted
        self._streams: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._canaries: dict[bytes, set[str]] = {}

    def canaries(self, data: bytes) -> set[str]:
        """Whose identifiers stand in it, in any form that needs no key."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._canaries:
            search = Search(self._wanted)
            search.data(data, "")
            self._canaries[digest] = search.canaries
        return self._canaries[digest]

    def streams(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Of every run of 32 bytes that could be a key: the first block of its AES-CTR key stream (as two numbers), and the run."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._streams:
            runs = np.concatenate([_runs(form) for form in _forms(data)])
            blocks = b"".join(_first_block(run.tobytes()) for run in runs)
            self._streams[digest] = np.frombuffer(blocks, dtype=np.uint64).reshape(-1, 2), runs
        return self._streams[digest]

    def steal(self, things: Iterable[tuple[str, bytes]]) -> Haul:
        """Take these, open whatever opens, and look at all of it."""
        return _Theft(self, dict(things)).done()


class _Theft:
    def __init__(self, workshop: Workshop, things: dict[str, bytes]) -> None:
        self._workshop = workshop
        self._new = things
        self._all: dict[str, bytes] = {}
        self._identities: dict[bytes, pyrage.x25519.Identity] = {}
        self._blocks: dict[tuple[int, int], list[str]] = {}  # first block of a key stream → what it would open
        self._haul = Haul()

    def done(self) -> Haul:
        while self._new:
            new, self._new = self._new, {}
            self._all |= new
            for name, data in new.items():
                self._learn(name, data)
            self._open_age()
            self._open_ciphertext()
            self._open_bundles()
        for data in self._all.values():
            self._haul.canaries |= self._workshop.canaries(data)
        self._haul.locks = len(self._blocks) + sum(data.count(AGE) for data in self._all.values())
        self._haul.keys = len(self._identities) + sum(len(self._workshop.streams(data)[1]) for data in self._all.values())
        return self._haul

    def _learn(self, name: str, data: bytes) -> None:
        for match in IDENTITY.finditer(data):
            with suppress(pyrage.IdentityError):
                self._identities[match[0]] = pyrage.x25519.Identity.from_str(match[0].decode())
        if len(data) >= 16:
            for beginning in BEGINNINGS:
                first, second = np.frombuffer(bytes(a ^ b for a, b in zip(data, beginning, strict=False)), dtype=np.uint64).tolist()
                self._blocks.setdefault((first, second), []).append(name)

    def _opens(self, how: str, data: bytes) -> None:
        if how not in self._haul.opened:
            self._haul.opened[how] = self._new[how] = data

    def _open_age(self) -> None:
        identities = list(self._identities.values())
        for name, data in self._all.items():
            for match in re.finditer(re.escape(AGE), data) if identities else ():
                target = io.BytesIO()
                with suppress(pyrage.DecryptError, OSError):  # of a file that was cut short, whole chunks come before the error
                    pyrage.decrypt_io(io.BytesIO(data[match.start() :]), target, identities)
                if target.tell():
                    self._opens(f"{name} › age at {match.start()}", target.getvalue())

    def _open_ciphertext(self) -> None:
        firsts = np.array(sorted({first for first, _ in self._blocks}), dtype=np.uint64)
        for data in list(self._all.values()):
            streams, runs = self._workshop.streams(data)
            for at in np.flatnonzero(np.isin(streams[:, 0], firsts)).tolist():
                for name in self._blocks.get((int(streams[at, 0]), int(streams[at, 1])), ()):
                    plain = DropCipher(Secret(runs[at].tobytes())).transform(0, self._all[name])
                    self._opens(f"{name} › AES-CTR", plain)

    def _open_bundles(self) -> None:
        keys = {data for data in self._all.values() if len(data) == KEY}
        for name, data in list(self._all.items()):
            if "bundles/" in name:
                for key in keys:
                    with suppress(SluisError, ValueError):
                        reader = Reader(Secret(key), PurePath(name.partition(", ")[0]).name, io.BytesIO(data))
                        self._opens(f"{name} › bundle", b"".join(reader.read_range(0, reader.size)))


def _forms(data: bytes) -> Iterator[bytes]:
    """The bytes, and what stands in them as hex or base64."""
    yield data
    for match in HEX.finditer(data):
        yield bytes.fromhex(match[0][: len(match[0]) // 2 * 2].decode())
    for match in BASE64.finditer(data):
        coded = match[0].translate(bytes.maketrans(b"-_", b"+/"))
        coded = coded[: len(coded) - (len(coded) % 4 == 1)]
        yield base64.b64decode(coded + b"=" * (-len(coded) % 4))


def _runs(data: bytes) -> np.ndarray:
    """Every 32 bytes in a row that could be random."""
    if len(data) < KEY:
        return np.empty((0, KEY), dtype=np.uint8)
    found = []
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, dtype=np.uint8), KEY)
    for start in range(0, len(windows), 1 << 16):
        some = windows[start : start + (1 << 16)]
        ordered = np.sort(some, axis=1)
        distinct = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
        found.append(some[distinct >= DISTINCT])
    return np.concatenate(found)


def _first_block(key: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(bytes(16))


def everything(folder: Path, *but: str) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file below `folder` now, but of what lies in the folders named."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(name == other or name.startswith(f"{other}/") for other in but):
            yield name, path.read_bytes()
