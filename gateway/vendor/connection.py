"""One connection to a gateway: the host's key is checked first, then the vendor's key is shown; then files.

`log_in` is of use for any SSH server that somebody's key opens; what follows it is a gateway's.
"""

import base64
import hashlib
import io
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IWGRP
from typing import Any

import paramiko  # type: ignore[import-untyped,unused-ignore]
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.vendor.refusals import refusal
from gateway.vendor.target import Target
from policies.errors import SluisError

#: how long the other side may be silent while connecting [s]
CONNECT_SECONDS = 20
#: how much is written at once; paramiko cuts it to packets of 32 KiB [bytes]
CHUNK = 1 << 20

#: what a connection that broke raises; what arrived is kept by the gateway, so it is worth to go on
BROKEN = (EOFError, paramiko.SSHException, ConnectionError, socket.timeout, TimeoutError)

#: what is raised over a private key's file that is none, is locked otherwise, or is of a kind that SSH does not know
_NO_KEY = (ValueError, TypeError, OSError, paramiko.SSHException, paramiko.pkey.UnknownKeyType, UnsupportedAlgorithm)

Told = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class Access:
    """How one shows who one is, and how one knows the other side."""

    key_file: Path | None = None  # neither this nor `key`: the keys of the SSH agent
    key: Callable[[], str] | None = None  # an Ed25519 key that lies in no file: what OpenSSH would keep there
    passphrase: Callable[[], str] | None = None  # asked for only when the key file wants one
    known_hosts: Path | None = None
    host_fingerprint: str | None = None  # SHA256:…, instead of known_hosts
    other_side: str = "gateway"  # what it is called in what people are told
    introduce: str = "give it as --host-key"  # how a host key is made known


class Connection:
    """An SFTP session with a gateway. Paths are the gateway's own."""

    def __init__(self, sftp: Any) -> None:
        self._sftp = sftp

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """paramiko raises a bare OSError both for what the gateway refuses and for a line that went dead: told apart here."""
        try:
            yield
        except OSError as error:
            channel = self._sftp.get_channel()
            if channel.closed or not channel.get_transport().is_active():
                raise ConnectionError("the connection was lost") from error
            raise

    def read(self, path: str) -> bytes:
        """A small file; NotFound (`not-at-gateway`)."""
        try:
            with self._asking(), self._sftp.open(path, "rb") as file:
                data: bytes = file.read()
        except FileNotFoundError:
            raise refusal("not-at-gateway", path=path) from None
        return data

    def names(self, folder: str) -> list[str]:
        """What is in a folder, newest first."""
        with self._asking():
            entries = self._sftp.listdir_attr(folder)
        found = sorted(entries, key=lambda entry: (entry.st_mtime or 0, entry.filename), reverse=True)
        return [entry.filename for entry in found]

    def size(self, path: str) -> int | None:
        """How much of an unfinished upload is there [bytes]; None when there is none, or it was delivered already."""
        with suppress(FileNotFoundError), self._asking():
            told = self._sftp.stat(path)
            return int(told.st_size) if (told.st_mode or 0) & S_IWGRP else None
        return None

    def is_delivered(self, path: str) -> bool:
        with suppress(FileNotFoundError), self._asking():
            return not (self._sftp.stat(path).st_mode or 0) & S_IWGRP
        return False

    def upload(self, source: Path, path: str, offset: int, told: Told) -> None:
        """Write `source` from `offset` [bytes] on to an unfinished name; resumes when `offset` is not 0."""
        total = source.stat().st_size
        with source.open("rb") as file, self._asking(), self._sftp.open(path, "r+b" if offset else "wb") as target:
            target.set_pipelined(True)
            file.seek(offset)
            target.seek(offset)
            while data := file.read(CHUNK):
                target.write(data)
                offset += len(data)
                told(offset, total)
        if self.size(path) != total:  # paramiko says nothing when a CLOSE fails
            raise refusal("upload-differs")

    def rename(self, old: str, new: str) -> None:
        """Finish an upload under its final name; Refused with what the gateway says."""
        try:
            with self._asking():
                self._sftp.posix_rename(old, new)
        except BROKEN:
            raise
        except FileNotFoundError:
            raise refusal("upload-gone") from None
        except OSError as error:
            raise refusal("refused-by-gateway", reason=error.strerror or error) from None


@contextmanager
def connect(target: Target, access: Access) -> Iterator[Connection]:
    """A session, closed at the end. Refused as in `log_in`."""
    with log_in(target, access) as transport:
        yield Connection(paramiko.SFTPClient.from_transport(transport, window_size=4 << 20))


@contextmanager
def log_in(target: Target, access: Access) -> Iterator[Any]:
    """paramiko's transport, to a server whose host key is known and that let this key in; closed at the end.

    Refused: `unreachable`, `unknown-host`, `wrong-host`, `login-refused`, `key-unusable`. NotFound: `no-key-file`,
    `no-known-hosts`.
    """
    try:
        transport = paramiko.Transport(socket.create_connection((target.host, target.port), CONNECT_SECONDS))
    except (OSError, UnicodeError):  # the latter of what can't be a host's name
        raise _unreachable(target, access) from None
    try:
        known = _known(target, access)
        options = transport.get_security_options()  # the server's key of a kind that is known here, when it has several
        options.key_types = sorted(options.key_types, key=lambda kind: kind.replace("rsa-sha2-512", "ssh-rsa") not in known)
        try:
            transport.start_client(timeout=CONNECT_SECONDS)
        except (paramiko.SSHException, EOFError, TimeoutError):
            raise _unreachable(target, access) from None
        _check_host(transport.get_remote_server_key(), known, target, access)
        _show_key(transport, target, access)
        transport.set_keepalive(30)
        yield transport
    finally:
        transport.close()


def _unreachable(target: Target, access: Access) -> SluisError:
    return refusal("unreachable", other_side=access.other_side, host=target.host, port=target.port)


def _fingerprint(key: Any) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _known(target: Target, access: Access) -> Mapping[str, Any]:
    """The host's keys by their kind, as far as a file of known hosts tells; a fingerprint takes the file's place."""
    known = paramiko.HostKeys()
    if access.host_fingerprint is None and access.known_hosts is not None:
        try:
            known.load(str(access.known_hosts))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, paramiko.hostkeys.InvalidHostKey):
            raise refusal("no-known-hosts", file=access.known_hosts) from None
    return known.lookup(target.known_as) or {}


def _check_host(key: Any, known: Mapping[str, Any], target: Target, access: Access) -> None:
    fingerprint = _fingerprint(key)
    if access.host_fingerprint is None and not known:
        facts = {"address": target.known_as, "fingerprint": fingerprint, "introduce": access.introduce}
        raise refusal("unknown-host", other_side=access.other_side, **facts)
    expected = known.get(key.get_name()) == key if access.host_fingerprint is None else fingerprint == access.host_fingerprint
    if not expected:
        raise refusal("wrong-host", other_side=access.other_side)


def _show_key(transport: Any, target: Target, access: Access) -> None:
    for key in _own_keys(access):
        with suppress(paramiko.AuthenticationException):
            transport.auth_publickey(target.user, key)
            return
        if not transport.is_active():
            break
    raise refusal("login-refused", other_side=access.other_side, user=target.user)


def _own_keys(access: Access) -> Sequence[Any]:
    if access.key_file is not None:
        return [_load(access.key_file, access.passphrase)]
    if access.key is not None:
        return [paramiko.Ed25519Key.from_private_key(io.StringIO(access.key()))]
    return list(paramiko.Agent().get_keys())


def _load(path: Path, passphrase: Callable[[], str] | None) -> Any:
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        raise refusal("no-key-file", path=path) from None
    except (paramiko.PasswordRequiredException, TypeError):
        pass
    except _NO_KEY:
        raise _unusable(path) from None
    if passphrase is None:
        raise _unusable(path)
    try:
        return paramiko.PKey.from_path(path, passphrase().encode())
    except _NO_KEY:
        raise _unusable(path) from None


def _unusable(path: Path) -> SluisError:
    return refusal("key-unusable", path=path)
