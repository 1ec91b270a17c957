"""What `sluis doctor` says of the malware scanner: does it answer, does it look at all of a drop, does it keep it off the disks."""

from collections.abc import Iterator
from pathlib import Path

from gateway.checks.archive import MAX_ENTRIES, MAX_FILE
from gateway.store.config import Scan
from gateway.worker.scanner import alive
from policies.errors import SluisError

#: file systems that are memory
_MEMORY = ("tmpfs", "ramfs")
#: [bytes] the lowest of their defaults
_UNSET = 100 << 20
_UNITS = {"K": 1 << 10, "M": 1 << 20}


def scanner_faults(settings: Scan, mounts: Path = Path("/proc/self/mounts")) -> Iterator[str]:
    """What is wrong with the scanner, a sentence's part each. `mounts`: what is mounted where (proc(5))."""
    try:
        alive(settings)
    except SluisError as error:
        yield f"{error.message.rstrip('.')} ({error.code}): no drop is accepted"
    try:
        conf = _read(Path(settings.clamd_conf))
    except OSError:
        yield f"{settings.clamd_conf} can't be read, so nobody can tell where clamd writes what it is told"
        return
    folder = conf.get("TemporaryDirectory", "")
    if not folder:
        yield "clamd's TemporaryDirectory is not set: what it is told may reach a disk"
    elif _file_system(Path(folder).resolve(), mounts) not in _MEMORY:
        yield f"clamd's TemporaryDirectory {folder} is on a disk, and so is what it is told"
    if _on(conf, "LeaveTemporaryFiles"):
        yield "clamd keeps what it was told (LeaveTemporaryFiles)"
    # of a file in a zip clamd looks at no more than MaxFileSize, and does not tell
    needed = {
        "StreamMaxLength": settings.max_bytes,
        "MaxScanSize": settings.max_bytes,
        "MaxFileSize": max(settings.max_bytes, MAX_FILE),
    }
    for limit, least in needed.items():
        if 0 < (bound := _bytes(conf.get(limit, ""))) < least:  # 0 is no bound (clamd.conf(5))
            yield f"clamd's {limit} of {bound:,} bytes is too low: it takes {least:,}"
    files = conf.get("MaxFiles", "10000")  # clamd.conf(5); 0 is no bound
    if files.isdecimal() and 0 < int(files) <= MAX_ENTRIES:
        yield f"clamd's MaxFiles of {files} is too low: it takes {MAX_ENTRIES + 1}"
    if not _on(conf, "AlertExceedsMax"):
        yield "clamd calls clean what it did not look at (AlertExceedsMax is off)"


def _read(path: Path) -> dict[str, str]:
    """The settings of a clamd.conf; of one that is repeated the first."""
    conf: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            conf.setdefault(key, value.strip().strip('"'))
    return conf


def _on(conf: dict[str, str], key: str) -> bool:
    return conf.get(key, "").lower() in ("yes", "true", "1")


def _bytes(value: str) -> int:
    number, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
    return int(number) * _UNITS.get(unit, 1) if number.isdecimal() else _UNSET


def _file_system(folder: Path, mounts: Path) -> str:
    """The type of the file system that a folder is on."""
    mounted = [line.split(" ")[1:3] for line in mounts.read_text().splitlines()]
    there = [(len(place), order, kind) for order, (place, kind) in enumerate(mounted) if folder.is_relative_to(place)]
    return max(there)[2] if there else ""
