"""What a vendor may call a file, and where in the four folders a path points. Pure: no disk, no ledger.

A path that could mean two things is refused, not repaired: `..`, NUL, control and invisible characters, backslashes. The one
exception is Unicode normalisation: macOS sends decomposed letters, so names are compared and kept in NFC.
"""

import re
import unicodedata
from dataclasses import dataclass

from gateway.intake.files.refusals import IntakeRefused

UPLOAD_FOLDERS = ("leveringen", "bezwaren")
READ_FOLDERS = ("ontvangst", "sleutels")
FOLDERS = (*UPLOAD_FOLDERS, *READ_FOLDERS)

#: a name that ends so is unfinished until it is renamed (contract)
UNFINISHED = (".part", ".partial", ".filepart", ".tmp")

#: what a file system takes as one name [bytes]
MAX_NAME_BYTES = 255

#: what Windows can't have as a name: characters, and devices' names whatever the ending (Microsoft, "Naming Files, Paths, and
#: Namespaces")
_NOT_ON_WINDOWS = set('<>:"|?*')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)

#: invisible, or with no agreed meaning: control, format (bidi overrides), surrogates, private use, line and paragraph separators
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True)
class Place:
    """Where a path points: the root (no folder), a folder (no name), or a name in a folder."""

    folder: str = ""
    name: str = ""

    @property
    def is_root(self) -> bool:
        return not self.folder

    @property
    def is_folder(self) -> bool:
        return bool(self.folder) and not self.name

    @property
    def takes_uploads(self) -> bool:
        return self.folder in UPLOAD_FOLDERS


def _text(path: bytes) -> str:
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        raise IntakeRefused("name-not-utf8") from None
    if text.isascii() and text.isprintable():
        return text  # what the below comes to
    if any(unicodedata.category(character) in _INVISIBLE for character in text):
        raise IntakeRefused("name-control")
    return unicodedata.normalize("NFC", text)


def locate(path: bytes) -> Place:
    """The place of an SFTP path (relative paths start at the root). IntakeRefused when it is a trick, or names no place."""
    parts = [part for part in _text(path).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise IntakeRefused("name-dots")
    if any("\\" in part for part in parts):
        raise IntakeRefused("name-backslash")
    if not parts:
        return Place()
    if parts[0] not in FOLDERS or len(parts) > 2:
        raise IntakeRefused("no-such-file")
    return Place(*parts)


def canonical(path: bytes) -> bytes:
    """The absolute form of `path` for REALPATH: `..` is resolved lexically and never above the root (RFC-less: as chroot does)."""
    kept: list[str] = []
    for part in _text(path).split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return ("/" + "/".join(kept)).encode()


def check_name(name: str) -> None:
    """IntakeRefused when a vendor may not call a file so; `name` is NFC and holds no slash (Place.name)."""
    if len(name.encode()) > MAX_NAME_BYTES:
        raise IntakeRefused("name-too-long")
    if name[0] in ".- " or name[0].isspace():
        raise IntakeRefused("name-leading")
    if name[-1] == "." or name[-1].isspace():
        raise IntakeRefused("name-trailing")
    if _NOT_ON_WINDOWS.intersection(name) or _DEVICE.fullmatch(name):
        raise IntakeRefused("name-reserved")
    if any(_is_pupil_number(run) for run in re.findall(r"(?<!\d)\d{9}(?!\d)", name, re.ASCII)):
        raise IntakeRefused("name-number")


def _is_pupil_number(digits: str) -> bool:
    """Whether nine digits pass the BSN's or the onderwijsnummer's check (names stand in the ledger and in logs)."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True))
    return int(digits) > 0 and (total % 11 == 0 or (digits.startswith("10") and total % 11 == 5))


def twin_key(name: str) -> str:
    """Equal for names that a person, or a disk that ignores case, would take for the same (Unicode §3.13 D146: compatibility caseless)."""

    if name.isascii():
        return name.lower()  # what all of the below comes to

    def fold(text: str) -> str:
        return unicodedata.normalize("NFKD", text).casefold()

    return unicodedata.normalize("NFKC", fold(fold(unicodedata.normalize("NFD", name))))


def is_unfinished(name: str) -> bool:
    """Whether a name says of itself that its file is not complete yet."""
    return name.lower().endswith(UNFINISHED)
