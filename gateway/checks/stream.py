"""From a blob on disk to the plain bytes of a delivery, as a stream in memory: drop key, then age or OpenPGP, then gzip if there is any.

Nothing is known to be whole before the end: age proves each 64 KiB and, at the end, that it is the end. Whoever reads must
commit nothing until the stream has ended without DropRefused.
"""

import io
import threading
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import pyrage

from gateway.checks.findings import DropRefused, finding
from gateway.checks.handover import Handover
from gateway.checks.pgp_signature import Signers
from gateway.drop.formats import AGE, AGE_ARMOUR, is_openpgp
from keys.drop_cipher import DropCipher
from keys.secret import Secret

_CHUNK = 1 << 20
#: [bytes] what is looked at to tell what a delivery is; gpg 2.4 says nothing of a message of which it gets less than its first buffer
_SNIFF = 1 << 18

_GZIP = b"\x1f\x8b"
#: Members of a gzip file: so many in any case, and then no more than one for each so many bytes.
_FREE_MEMBERS = 1000
_SMALLEST_MEMBER = 1024
#: [bytes] the nonce that precedes age's payload (age-encryption.org/v1, Payload).
_AGE_NONCE = 16


@dataclass(frozen=True)
class Limits:
    """How large a delivery may become in memory's stream. [bytes] unless said otherwise."""

    max_plain_bytes: int = 16 << 30
    #: times: what gzip may make of its input, beyond the grace; an export of results compresses 10 to 30 times
    max_ratio: int = 200
    ratio_grace_bytes: int = 64 << 20


class Ciphertext:
    """The delivered bytes, the drop key taken off; remembers whether they ended and whether reading them failed."""

    def __init__(self, blob: BinaryIO, drop_key: Secret) -> None:
        self._blob = blob
        self._cipher = DropCipher(drop_key).stream()
        self._buffer = memoryview(b"")
        self.head = b""
        self.at_end = False
        self.error: OSError | None = None

    def fill_head(self) -> bytes:
        """The first bytes (at most _SNIFF), to tell what they are; they are read again by read()."""
        while len(self.head) < _SNIFF and (more := self._next()):
            self.head += more
        self._buffer = memoryview(self.head)
        self.head = self.head[:_SNIFF]
        return self.head

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; b"" at the end. Called by pyrage, in its thread."""
        if not self._buffer:
            self._buffer = memoryview(self._next())
        piece = self._buffer if size < 0 else self._buffer[:size]
        self._buffer = self._buffer[len(piece) :]
        return bytes(piece)

    def _next(self) -> bytes:
        try:
            data = self._blob.read(_CHUNK)
        except OSError as error:
            self.error = error
            raise
        self.at_end = not data
        return self._cipher.update(data)

    @property
    def used_up(self) -> bool:
        """Whether all that was delivered has been read."""
        return self.at_end and not self._buffer


def _refusal_of(head: bytes) -> str | None:
    """The rule by which the first bytes are refused, or None when they begin an age file (or could)."""
    if not head:
        return "empty-file"
    if head.startswith((AGE, AGE_ARMOUR)):
        return None
    if is_openpgp(head):
        return "format-not-yet-openpgp"
    if AGE.startswith(head) or AGE_ARMOUR.startswith(head):
        return "truncated"
    return "not-age"


def _rule_of_failure(source: Ciphertext, in_header: bool, no_key: bool) -> str:
    """What pyrage's failure means. Its texts tell no more than this, and none of them is passed on."""
    if no_key:
        return "wrong-recipient"
    if in_header and source.head.startswith(AGE):
        end = source.head.find(b"\n--- ")
        end = -1 if end < 0 else source.head.find(b"\n", end + 1)
        whole = end >= 0 and len(source.head) >= end + 1 + _AGE_NONCE
        return "damaged" if whole or len(source.head) == _SNIFF else "truncated"
    # a cut file and one with its last chunk changed look alike: neither ends as it should
    return "truncated" if source.used_up else "damaged"


def age_identity(identity: Secret) -> pyrage.x25519.Identity:
    """One of the gateway's identities (AGE-SECRET-KEY-1…) as age's own; pyrage.IdentityError when it is none."""
    return pyrage.x25519.Identity.from_str(identity.reveal().decode().strip())


def _decrypt(source: Ciphertext, identities: Sequence[Secret], target: Handover, outcome: list[str | BaseException]) -> None:
    """The thread's work: age from `source` to `target`; on failure one item in `outcome`: a rule's code, or what is ours to mend."""
    try:
        pyrage.decrypt_io(source, target, [age_identity(identity) for identity in identities])
    except pyrage.DecryptError as error:
        outcome.append(_rule_of_failure(source, True, "No matching keys" in str(error)))
    except OSError:
        outcome.append(_rule_of_failure(source, False, False))
    except BaseException as error:
        outcome.append(error)
    finally:
        target.finish()


def plain_chunks(
    source: Ciphertext, identities: Sequence[Secret], openpgp: Sequence[Secret], limits: Limits, signers: Signers | None
) -> Generator[bytes]:
    """What the vendor encrypted, as it comes; errors as in `open_delivery`."""
    head = source.fill_head()
    if openpgp and is_openpgp(head):
        from gateway.checks.openpgp import pgp_chunks  # what it bounds gpg with is not on every vendor's machine

        yield from pgp_chunks(source, openpgp, limits, signers)
    else:
        if signers is not None and _refusal_of(head) is None:
            raise DropRefused(finding("unsigned"))  # age knows no signatures
        yield from age_chunks(source, identities)


def age_chunks(source: Ciphertext, identities: Sequence[Secret]) -> Generator[bytes]:
    """The plain bytes of an age file, as they come. Raises DropRefused where they end wrongly; OSError if the blob can't be read."""
    refusal = _refusal_of(source.head or source.fill_head())
    if refusal is not None:
        raise DropRefused(finding(refusal))
    plain = Handover()
    outcome: list[str | BaseException] = []
    thread = threading.Thread(target=_decrypt, args=(source, identities, plain, outcome), name="age", daemon=True)
    thread.start()
    try:
        while data := plain.read():
            yield data
    finally:
        plain.abandon()
        thread.join()
    if source.error is not None:
        raise source.error
    for failure in outcome:
        raise failure if isinstance(failure, BaseException) else DropRefused(finding(failure))


def expanded(chunks: Iterator[bytes], limits: Limits) -> Generator[bytes]:
    """The content of the chunks: themselves, or what gzip (RFC 1952, one member or many) packed in them.

    Raises DropRefused: `gzip-damaged`, `expansion`.
    """
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= 4:
            break

    def all_chunks() -> Iterator[bytes]:
        if first:
            yield first
        yield from chunks

    total = 0
    for data in _gunzip(all_chunks(), limits) if first.startswith(_GZIP) else all_chunks():
        total += len(data)
        if total > limits.max_plain_bytes:
            raise DropRefused(finding("expansion"))
        yield data


def _gunzip(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    packed = unpacked = members = 0
    fresh = True  # nothing of the current member was read yet
    damaged = False
    for chunk in chunks:
        packed += len(chunk)
        rest = chunk
        while rest:
            if fresh and unpacked and not rest.strip(b"\0"):
                break  # zero padding after a member is usual (RFC 1952, section 2.2; gzip(1))
            try:
                data = member.decompress(rest, _CHUNK)
            except zlib.error:
                damaged = True
                break
            fresh = False
            unpacked += len(data)
            if unpacked > limits.ratio_grace_bytes and unpacked > packed * limits.max_ratio:
                raise DropRefused(finding("expansion"))
            if data:
                yield data
            if member.eof:
                rest = member.unused_data
                member = zlib.decompressobj(wbits=31)
                fresh = True
                members += 1
                if members > _FREE_MEMBERS + packed // _SMALLEST_MEMBER:
                    damaged = True  # a swarm of tiny members costs time and holds nothing
                    break
            else:
                rest = member.unconsumed_tail
        if damaged:
            break
    if damaged or not fresh:
        raise DropRefused(finding("gzip-damaged"))


class Delivery(io.RawIOBase):
    """A binary stream over an iterator of chunks; read(n) gives n bytes unless the end comes first."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        pieces = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            data = next(self._chunks, b"")
            if not data:
                break
            pieces.append(data)
            length += len(data)
        whole = b"".join(pieces)
        cut = len(whole) if size < 0 else size
        self._rest = whole[cut:]
        return whole[:cut]


@contextmanager
def open_delivery(
    blob: BinaryIO,
    drop_key: Secret,
    identities: Sequence[Secret],
    limits: Limits | None = None,
    openpgp: Sequence[Secret] = (),
    signers: Signers | None = None,
) -> Iterator[BinaryIO]:
    """The plain bytes of a stored drop, as a stream; the format is told by content, never by name.

    `identities`: the gateway's age identities (AGE-SECRET-KEY-1…), any of which may open it; `openpgp`: its OpenPGP keys (binary
    secret keys), none: that is off. `signers`: whose signature it needs; None: nobody's. Reading raises DropRefused with the rules
    `empty-file`, `not-age`, `format-not-yet-openpgp`, `wrong-recipient`, `truncated`, `damaged`, `openpgp-no-integrity`, `unsigned`,
    `wrong-signature`, `gzip-damaged` or `expansion`, OSError when the blob itself can't be read, and for OpenPGP as `gpg_home` does.
    Entering never raises. Memory is some 30 MiB whatever the size; a thread of its own decrypts, or gpg, and has ended when the
    context ends.
    """
    limits = limits or Limits()
    chunks = plain_chunks(Ciphertext(blob, drop_key), identities, openpgp, limits, signers)
    content = expanded(chunks, limits)
    with closing(chunks), closing(content), Delivery(content) as delivery:
        yield cast(BinaryIO, delivery)
