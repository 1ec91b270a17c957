"""OpenPGP (RFC 9580) by the program gpg, in a home of its own that lies in memory and ends with its use.

gpg hands private keys to its agent, and that keeps them in files: so the home lies on tmpfs, or nothing is done at all. Keys go in
through a pipe, and what gpg says in words is not read: only its status lines are, and those hold no more than key ids and numbers.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from keys.secret import Secret
from policies.errors import Unsound

#: where a home may lie when the service manager gives no folder of its own
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - each home there is closed to others
_IN_MEMORY = ("tmpfs", "ramfs")
_PREFIX = "sluis-gpg."
#: [bytes] a socket's address holds 108 (unix(7)), and the longest name of one in a home has some 20, the home's own name some 40
_LONGEST_FOLDER = 40
#: what ends a command that nobody waits for any more: its terminal was closed, or it was told to
_ENDING = (signal.SIGHUP, signal.SIGTERM)
#: [s] what is done without a delivery (making, taking in and ending keys) takes less than one
_PATIENCE = 60
#: [s] between two tries to remove a folder that is still written in
_PAUSE = 0.005
_MANNERS = (
    "--batch", "--no-tty", "--no-options", "--quiet", "--trust-model=always", "--no-auto-key-retrieve", "--disable-dirmngr",
    "--weak-digest=SHA1", "--weak-digest=RIPEMD160",
)  # fmt: skip


@dataclass(frozen=True)
class GpgHome:
    """A place in memory where gpg works."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The program with these arguments, in this home."""
        return ["gpg", f"--homedir={self.folder}", *_MANNERS, *arguments]

    def run(self, *arguments: str, given: bytes = b"") -> bytes:
        """What gpg writes for `given`; Unsound (`gpg-failed`) when it does not do as it is told."""
        done = subprocess.run(
            self.command(*arguments),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=gpg_environment(),
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise Unsound("gpg-failed", "The program gpg could not do its work with a key.", "`sluis doctor` tells what it needs.")
        return done.stdout

    def take_in(self, keys: Sequence[Secret]) -> None:
        """The private keys are in this home when this returns; errors as in `run`."""
        if keys:
            self.run("--import", given=b"".join(key.reveal() for key in keys))


def gpg_environment() -> dict[str, str]:
    """No more than gpg needs: nothing of ours, and no language but one."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def what_is_missing() -> str:
    """What OpenPGP needs and this machine does not have, in a sentence; empty when all is there."""
    if shutil.which("gpg") is None or shutil.which("gpgconf") is None:
        return "the program gpg is not installed"
    return "" if _memory_folders() else "there is no folder in memory (tmpfs) for it"


@contextlib.contextmanager
def gpg_home() -> Iterator[GpgHome]:
    """An empty home for gpg; it and its agent are gone afterwards. Unsound (`no-openpgp`) where gpg or a tmpfs is missing,
    and (`openpgp-left`) when one can't be removed: a private key lies in it."""
    if missing := what_is_missing():
        raise Unsound(
            "no-openpgp", f"OpenPGP can't be used: {missing}.", "Install gnupg; run where /dev/shm or RUNTIME_DIRECTORY is a tmpfs."
        )
    sweep()
    process = os.getpid()
    with _ended_by_signals():
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{process}.{_began(process)}.", dir=_memory_folders()[0]))
        try:
            yield GpgHome(folder)
        finally:
            _end(folder)


def sweep() -> int:
    """End the homes that killed processes of this user left, since a private key lies in each; how many there were."""
    ended = 0
    for left in (left for memory in _memory_folders() for left in memory.glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError, ValueError):
            process, began, _ = left.name.removeprefix(_PREFIX).split(".")
            if left.stat().st_uid == os.getuid() and _began(int(process)) != began:
                _end(left)
                ended += 1
    return ended


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Meanwhile a signal that would end the process at once ends it by SystemExit, so that what is under way is left in order.

    Not where somebody handles the signal already (a role does), and not in a thread other than the first, which gets none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        for each in ours:  # a second one must not cut the end short
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def new_openpgp_key(name: str) -> tuple[Secret, str]:
    """A key pair in the name of `name`, Ed25519 with Cv25519 to encrypt to, without a passphrase and without an end: the private half as
    a binary transferable secret key, the public half in armour. Errors as in `gpg_home` and `GpgHome.run`."""
    with gpg_home() as home:
        quick = ("--pinentry-mode=loopback", "--passphrase-fd=0")
        home.run(*quick, "--quick-generate-key", name, "ed25519", "sign,cert", "never", given=b"\n")
        listed = home.run("--list-keys", "--with-colons").decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        home.run(*quick, "--quick-add-key", fingerprint, "cv25519", "encr", "never", given=b"\n")
        return Secret(home.run("--export-secret-keys")), home.run("--armor", "--export").decode()


def _memory_folders() -> list[Path]:
    """The folders under which homes may be made, the best first: the service's runtime directory, the machine's shared memory; those that
    are tmpfs."""
    own = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    places = [Path(own)] if own and len(os.fsencode(own)) <= _LONGEST_FOLDER else []
    return [place for place in (*places, _SHARED_MEMORY) if _is_in_memory(place)]


def _is_in_memory(folder: Path) -> bool:
    try:
        device = folder.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    # proc_pid_mountinfo(5): the third field is the device, and behind the lone dash stands the kind of file system
    return any(line.split()[2] == number and line.partition(" - ")[2].split()[0] in _IN_MEMORY for line in mounts)


def _began(process: int) -> str | None:
    """When a process began, in ticks since the machine did; None: there is none. It tells a process from one that got its number later."""
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return None
    return told.rpartition(b")")[2].split()[19].decode()  # proc_pid_stat(5): field 22; the second, in brackets, may hold anything


def _end(folder: Path) -> None:
    """The agent that works in `folder` is told to end, and the folder is gone. Unsound (`openpgp-left`) when it can't be removed."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # without its home the agent ends by itself
        subprocess.run(
            ["gpgconf", f"--homedir={folder}", "--kill", "all"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=gpg_environment(),
            timeout=_PATIENCE,
            check=False,
        )
    patience = time.monotonic() + _PATIENCE
    while folder.exists():  # the agent removes its sockets meanwhile, and puts away what it was at
        if time.monotonic() > patience:
            raise Unsound("openpgp-left", f"{folder} holds a private key and can't be removed.", "Remove it, or restart the machine.")
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE)
