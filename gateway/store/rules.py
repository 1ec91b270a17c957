"""The rules of a home: those that come with Sluis, and what its administrator adds to them in `policies/nco_lvs.toml`."""

from pathlib import Path

from gateway.store.durable import replace_durably, unlink_durably
from gateway.store.home import POLICIES, Home
from policies.errors import Unsound
from policies.rules import Rules, packaged_rules, with_additions

#: what vendors find in `sleutels/` while there are additions: the same file, to check with before they deliver
HANDED_TO_VENDORS = "sluis.regels.toml"


def additions_file(home: Home) -> Path:
    """Where an administrator writes additions; homes have no such file until then."""
    return home.path / POLICIES / "nco_lvs.toml"


def additions_of(home: Home) -> bytes:
    """The additions as they were written, b"" for none; Unsound (`bad-policy`) when they can't be read."""
    file = additions_file(home)
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:
        raise Unsound("bad-policy", f"{file} can't be read.", "May this user read it, and is it a file?") from None


def rules_of(home: Home) -> Rules:
    """The rules by which this home checks; Unsound (`bad-policy`) with file, line and reason when the additions are not sound."""
    return with_additions(packaged_rules("nco-lvs-1"), additions_of(home), str(additions_file(home)))


def handed_to_vendors(home: Home) -> bytes:
    """The additions that vendors find, b"" for none."""
    try:
        return (home.public / HANDED_TO_VENDORS).read_bytes()
    except OSError:
        return b""


def hand_to_vendors(home: Home, additions: bytes) -> None:
    """Let vendors find these additions, or none; durable when this returns."""
    place = home.public / HANDED_TO_VENDORS
    if additions:
        replace_durably(place, additions)
    else:
        unlink_durably(place)
