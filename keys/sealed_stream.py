"""A whole file sealed to age X25519 keys (age-encryption.org/v1) while it is written or read: nothing of it waits on a disk.

age itself runs in a thread at the other end of a pipe. It says what is wrong with a file only when it comes to that place, so
nothing that was read counts before the block ends without an error.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import pyrage
from pyrage import x25519

from keys.secret import Secret
from policies.errors import Refused, Unsound

#: what is read at once where nobody wants it [bytes]
_PIECE = 1 << 20


def check_recipients(recipients: Sequence[str]) -> list[Any]:
    """These `age1…` keys for age. Refused (`bad-public-key`) when one is none, or when there is none at all."""
    try:
        keys = [x25519.Recipient.from_str(text.strip()) for text in recipients]
    except pyrage.RecipientError:
        keys = []
    if not keys:
        raise Refused("bad-public-key", "That is not an age X25519 public key.", "It starts with age1; `age-keygen` makes a pair.")
    return keys


@contextmanager
def sealing(target: BinaryIO, recipients: Sequence[str]) -> Iterator[BinaryIO]:
    """What is written to the answered stream stands sealed in `target` when the block has ended. Refused (`bad-public-key`); OSError when
    `target` could not be written. Of a block that raises, `target` holds something that must not be used."""
    keys = check_recipients(recipients)
    reading, writing = os.pipe()
    failures: list[BaseException] = []

    def work() -> None:
        with open(reading, "rb") as plain:
            try:
                pyrage.encrypt_io(plain, target, keys)
            except pyrage.EncryptError:  # of its text nobody can tell what failed
                failures.append(OSError("the sealed file could not be written"))
            except BaseException as error:
                failures.append(error)

    with _beside(work, failures, open(writing, "wb")) as plain:
        yield plain


@contextmanager
def unsealing(source: BinaryIO, identities: Sequence[Secret]) -> Iterator[BinaryIO]:
    """What `source` holds; it is whole, and nobody changed it, once the block has ended. What the block leaves unread is read then.

    Refused (`bad-identity`, `wrong-identity`); Unsound (`sealed-damaged`) when it is no such file, was changed, or cut short.
    """
    try:
        keys = [x25519.Identity.from_str(identity.reveal().decode("ascii").strip()) for identity in identities]
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise Refused("bad-identity", "That is not an age X25519 private key.", "It starts with AGE-SECRET-KEY-1.") from None
    reading, writing = os.pipe()
    failures: list[BaseException] = []

    def work() -> None:
        with suppress(BrokenPipeError), open(writing, "wb") as plain:
            try:
                pyrage.decrypt_io(source, plain, keys)
            except pyrage.DecryptError as error:
                failures.append(_foreign() if "No matching keys" in str(error) else _damaged())
            except OSError:
                failures.append(_damaged())
            except BaseException as error:
                failures.append(error)

    with _beside(work, failures, open(reading, "rb")) as plain:
        yield plain
        while plain.read(_PIECE):
            pass


@contextmanager
def _beside(work: Callable[[], None], failures: list[BaseException], end: BinaryIO) -> Iterator[BinaryIO]:
    """`work` in a thread, for as long as the block lasts, whose `end` of the pipe this is. What failed in `work` first is why."""
    thread = threading.Thread(target=work, name="age", daemon=True)
    thread.start()
    try:
        yield end
        end.close()
    except BaseException:
        cause = list(failures)  # what failed before the block did; once our end is closed age only notices that nobody is there any more
        with suppress(OSError):
            end.close()
        thread.join()
        if cause:
            raise cause[0] from None
        raise
    thread.join()
    if failures:
        raise failures[0]


def _foreign() -> Refused:
    return Refused("wrong-identity", "This was not sealed to that key.", "Use the private half of one of the keys it was made for.")


def _damaged() -> Unsound:
    return Unsound("sealed-damaged", "This file is not whole: it was changed, cut short, or is no age file.", "Use another copy of it.")
