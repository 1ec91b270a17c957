"""Whom a vendor believes: the key that a gateway signs with, remembered at the first delivery as SSH remembers a host's.

Keys to encrypt to come and go with each campaign. The signing key stays, and is not on the machine that answers at the network's edge:
so a new key to encrypt to is believed when the remembered one signed it, whoever hands it out.
"""

import os
from pathlib import Path

from audit import document
from audit.note import Verifier
from gateway.drop import handed_keys
from gateway.vendor.connection import Connection
from gateway.vendor.refusals import refusal
from gateway.vendor.target import Target
from policies.errors import Refused, Unsound, WrongUsage

SIGNING_KEY = "/sleutels/sluis.vkey.txt"
AGE_KEYS = f"/sleutels/{handed_keys.FILE}"


def default_known_gateways() -> Path:
    """Where signing keys are remembered: below XDG_CONFIG_HOME (XDG Base Directory Specification)."""
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "sluis" / "known_gateways"


class Gateway:
    """What a gateway said on this connection, held against what is known of it. A file of known gateways has a line for each: its address
    as in SSH's known_hosts, a space, its signing key (C2SP signed-note)."""

    def __init__(self, connection: Connection, target: Target, known_gateways: Path, told_key: str | None) -> None:
        """`told_key`: the signing key as its owner gave it, instead of what is remembered. Refused (`wrong-gateway-key`), Unsound
        (`no-signing-key`), NotFound (`not-at-gateway`, `no-known-gateways`)."""
        self._connection = connection
        self._address = target.known_as
        self._file = known_gateways
        self._handed = connection.read(SIGNING_KEY).decode("utf-8", errors="replace").strip()
        remembered = told_key.strip() if told_key is not None else self._remembered()
        if remembered is not None and remembered != self._handed:
            raise refusal(
                "wrong-gateway-key",
                address=self._address,
                remedy="" if told_key is not None else f"Only if they confirm a new key, take its line out of {self._file}.",
                dutch_remedy="" if told_key is not None else f"Haal alleen als die een nieuwe bevestigt haar regel uit {self._file}.",
            )
        self.is_new = remembered is None
        try:
            self.verifier = Verifier.parse(self._handed)
        except WrongUsage:
            raise refusal("no-signing-key", address=self._address) from None

    def age_keys(self) -> list[str]:
        """The keys to encrypt to, believed by their signature. Unsound (`gateway-keys-forged`), Refused (`bad-gateway-key`)."""
        handed = self._connection.read(AGE_KEYS)
        try:
            said = document.read(handed)
            document.check(said, [self.verifier])
            return handed_keys.age_keys_in(said)
        except Unsound:
            raise refusal("gateway-keys-forged", address=self._address) from None
        except Refused:
            raise refusal("bad-gateway-key") from None

    def remember(self) -> None:
        """Write a signing key down that was not known. Refused (`not-remembered`)."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8") as file:
                file.seek(0)
                unended = not (file.read() or "\n").endswith("\n")  # somebody edited it
                file.write("\n" * unended + f"{self._address} {self._handed}\n")
        except OSError:
            raise refusal("not-remembered", file=self._file) from None

    def _remembered(self) -> str | None:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise refusal("no-known-gateways", file=self._file) from None
        return next((key.strip() for address, _, key in (line.partition(" ") for line in lines) if address == self._address), None)
