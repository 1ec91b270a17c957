"""OpenPGP deliveries: gpg decrypts from a pipe into a pipe, and its status lines say whether what came out counts.

It counts when all of these hold: gpg ended well; one message was decrypted, and all that came out was in it; its integrity was
proven (MDC, or AEAD); and it was signed by whom it has to be. That is known at the very end only, as with age.
"""

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from gateway.checks.findings import DropRefused, finding
from gateway.checks.pgp_framing import Framing
from gateway.checks.pgp_signature import WRONG, Signers, signature_rule
from keys.openpgp import GpgHome, gpg_environment, gpg_home
from keys.secret import Secret
from keys.signing_keys import as_of

if TYPE_CHECKING:
    from gateway.checks.stream import Ciphertext, Limits

_CHUNK = 1 << 20
_TAG = b"[GNUPG:] "
#: a message has some 15, and one for each of its recipients
_MOST_STATUSES = 1000
#: [s] of a processor that gpg may take in any case, and then for each 1 MiB that it is brought. What it unpacks and passes over does not
#: come out: 1,500 bytes can keep it busy for as long as anybody likes
_FREE_SECONDS = 60
_SECONDS_PER_MIB = 20
#: nobody is asked for a passphrase
_DECRYPT = ("--decrypt", "--pinentry-mode=cancel", "--no-symkey-cache")
_WHOEVER_SIGNED = ("--skip-verify",)


@dataclass
class Statuses:
    """What gpg said so far: the words of its status lines (GnuPG, doc/DETAILS), in their order."""

    lines: list[list[str]] = field(default_factory=list)
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.lines += [words for line in whole if line.startswith(_TAG) and (words := line.removeprefix(_TAG).decode("latin-1").split())]

    def count(self, word: str) -> int:
        return sum(line[0] == word for line in self.lines)

    def __contains__(self, word: str) -> bool:
        return self.count(word) > 0

    @property
    def sound(self) -> bool:
        """Whether one message was decrypted whole, its integrity proven, and nothing came from outside of it.

        Not enough without gpg's exit status: gpg 2.2 says all of this of a message in AEAD that was changed, and ends with 2.
        """
        order = [
            line[0] for line in self.lines if line[0] in ("BEGIN_DECRYPTION", "PLAINTEXT", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")
        ]
        with_mdc = ["BEGIN_DECRYPTION", "PLAINTEXT", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"]
        return order == with_mdc


def rule_of(statuses: Statuses, code: int, cut: bool, bare: bool = False, signers: Signers | None = None) -> str | None:
    """The rule by which a message is refused of which gpg said this and ended with `code`; None: it counts. `cut`: it ends too early.
    `bare`: it has no proof of its integrity. `signers`: whose signature it needs."""
    if signers is not None and "BEGIN_DECRYPTION" in statuses and any(word in statuses for word in WRONG):
        return "wrong-signature"  # of some kinds gpg says no more than that, and ends
    if statuses.sound:
        rule = None if signers is None else signature_rule(statuses.lines, signers)
        if code == 0 or rule == "wrong-signature":  # gpg ends with another status because of that, too
            return rule
    if "DECRYPTION_KEY" not in statuses:
        # gpg 2.4 does not come to the keys of a message that ends within its first buffer
        if "NO_SECKEY" in statuses or "NEED_PASSPHRASE_SYM" in statuses or ("ENC_TO" in statuses and not cut):
            return "wrong-recipient"
        return "not-age" if "PLAINTEXT" in statuses else "truncated" if cut else "damaged"
    if bare:
        return "openpgp-no-integrity"
    return "truncated" if cut else "damaged"


class _Gpg:
    """gpg at work on one message: a thread brings it the bytes, whoever reads takes what comes out."""

    def __init__(self, home: GpgHome, source: "BinaryIO | Ciphertext", signatures: Sequence[str] = _WHOEVER_SIGNED) -> None:
        status_out, status_in = os.pipe()
        try:
            self._process = subprocess.Popen(
                home.command(f"--status-fd={status_in}", *signatures, *_DECRYPT),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=gpg_environment(), pass_fds=(status_in,),
            )  # fmt: skip
        except BaseException:
            os.close(status_out)
            raise
        finally:
            os.close(status_in)
        self._source = source
        self._status = status_out
        self._allow(0)
        self.statuses = Statuses()
        self.framing = Framing()
        self.brought = 0
        self._thread = threading.Thread(target=self._bring, name="gpg", daemon=True)
        self._thread.start()

    def _bring(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._process.stdin as pipe:  # gpg ended before; or the blob can't be read, and says so itself
            while data := self._source.read(_CHUNK):
                self.framing.take(data)
                self.brought += len(data)
                self._allow(self.brought)
                pipe.write(data)

    def _allow(self, brought: int) -> None:
        """Time for so many bytes; gpg is gone (SIGXCPU) when it takes more."""
        seconds = _FREE_SECONDS + _SECONDS_PER_MIB * brought // (1 << 20)
        with contextlib.suppress(ProcessLookupError):  # it ended before
            resource.prlimit(self._process.pid, resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))

    def output(self) -> Generator[bytes]:
        """What comes out; when it comes, what gpg said before it is in `statuses`. An empty piece: only something was said."""
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            for stream in (out, self._status):
                os.set_blocking(stream, False)
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = {key.fd for key, _ in selector.select()}
                piece = _read(out) if out in ready else b""
                # asked after the output: gpg speaks before it writes
                said = _read(self._status) if self._status in selector.get_map() else b""
                if said:
                    self.statuses.take(said)
                elif said == b"" and self._status in selector.get_map():
                    selector.unregister(self._status)
                if piece == b"" and out in ready:
                    selector.unregister(out)
                yield piece or b""

    def wait(self) -> int:
        """gpg's exit status, once it has ended by itself and all was brought or can't be."""
        code = self._process.wait()
        self._thread.join()
        return code

    def end(self) -> None:
        """gpg is gone, whatever it was about."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._status)


def _read(descriptor: int) -> bytes | None:
    """What there is; b"" at the end, None when there is nothing now."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def pgp_chunks(source: "Ciphertext", keys: Sequence[Secret], limits: "Limits", signers: Signers | None) -> Generator[bytes]:
    """The plain bytes of an OpenPGP message, as they come. Raises DropRefused (`not-age`, `wrong-recipient`, `openpgp-no-integrity`,
    `truncated`, `damaged`, `expansion`, `unsigned`, `wrong-signature`) where they end wrongly; OSError if the blob can't be read; errors
    as in `gpg_home`. `signers`: whose signature it needs; None: who signed is not looked at."""
    with gpg_home() as home:
        # gpg counts it as its own failure when a key that it tried did not fit, and a message need not say whose it is
        home.take_in([key for key in keys if opens(BytesIO(source.head), key)][:1] if len(keys) > 1 else keys)
        for public in signers.keys.values() if signers else ():
            home.run("--import", given=public.encode("ascii"))
        # as gpg would have judged when it was received: linking reads it again, weeks later
        gpg = _Gpg(home, source, [as_of(signers.at)] if signers else _WHOEVER_SIGNED)
        try:
            total = 0
            for data in gpg.output():
                if len(gpg.statuses.lines) > _MOST_STATUSES:
                    raise DropRefused(finding("damaged"))
                if data and "BEGIN_DECRYPTION" not in gpg.statuses:
                    raise DropRefused(finding("not-age"))
                total += len(data)
                if total > limits.ratio_grace_bytes and total > gpg.brought * limits.max_ratio:
                    raise DropRefused(finding("expansion"))
                if data:
                    yield data
            code = gpg.wait()
        finally:
            gpg.end()
        if source.error is not None:
            raise source.error
        if code == -signal.SIGXCPU:
            raise DropRefused(finding("expansion"))
        rule = rule_of(gpg.statuses, code, source.used_up and not gpg.framing.whole, gpg.framing.bare, signers)
        if rule is not None:
            raise DropRefused(finding(rule))


def opens(head: BinaryIO, key: Secret) -> bool:
    """Whether a message that begins so is for this key. The rest need not be there; nothing that comes out is looked at."""
    with gpg_home() as home:
        home.take_in([key])
        gpg = _Gpg(home, head)
        try:
            for piece in gpg.output():
                if piece or "DECRYPTION_KEY" in gpg.statuses:  # what is not encrypted at all comes out without
                    break
            return "DECRYPTION_KEY" in gpg.statuses
        finally:
            gpg.end()
