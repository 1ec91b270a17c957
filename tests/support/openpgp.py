"""A vendor's own gpg: a home with our public key in it, and what it makes of a text."""

import subprocess
from datetime import datetime
from pathlib import Path

#: what every call gets: nobody is asked anything
_GPG = ("gpg", "--batch", "--no-tty", "--no-options", "--quiet", "--trust-model=always", "--pinentry-mode=loopback")


def as_if(at: datetime | None) -> list[str]:
    """The option that sets gpg's clock; none for now."""
    return [f"--faked-system-time={int(at.timestamp())}!"] if at else []


def turn(home: Path, on: bool) -> None:
    """OpenPGP on or off, as an administrator does it in `sluis.toml`; it was the other before."""
    file = home / "sluis.toml"
    before = file.read_text()
    file.write_text(before.replace(f"openpgp = {str(not on).lower()}", f"openpgp = {str(on).lower()}"))
    assert file.read_text() != before


class VendorGpg:
    """In a folder of the test's; `end` when it is over, for its agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)

    def run(self, *arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            [_GPG[0], f"--homedir={self.folder}", *_GPG[1:], *arguments], input=given, capture_output=True, check=True
        ).stdout

    def learn(self, public: str) -> str:
        """The fingerprint of the key that it knows from now on."""
        self.run("--import", given=public.encode())
        shown = self.run("--with-colons", "--show-keys", given=public.encode()).decode()
        return next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:"))

    def own_key(self, name: str, *kind: str, at: datetime | None = None) -> str:
        """A key of the vendor's own, made at a moment that may be another than now; its fingerprint."""
        self.run("--passphrase=", *as_if(at), "--quick-generate-key", name, *kind)
        return self.fingerprint(name)

    def own_subkey(self, fingerprint: str, *kind: str, at: datetime | None = None) -> None:
        """A further subkey of a key of the vendor's own."""
        self.run("--passphrase=", *as_if(at), "--quick-add-key", fingerprint, *kind)

    def fingerprint(self, name: str) -> str:
        """Of the primary key of that name."""
        listed = self.run("--with-colons", "--list-keys", f"={name}").decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def public(self, name: str) -> bytes:
        """In armour, as it is handed in."""
        return self.run("--armor", "--export", f"={name}")

    def revoke(self, fingerprint: str) -> None:
        """By the certificate that gpg laid aside when it made the key."""
        certificate = (self.folder / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()
        self.run("--import", given=certificate.replace(b":-----BEGIN", b"-----BEGIN"))

    def signed(self, plain: bytes, to: str, *names: str, options: tuple[str, ...] = (), at: datetime | None = None) -> bytes:
        """Signed by each name, and encrypted; `at`: signed then, and encrypted now, to a key that may not have been there."""
        sign = ("--passphrase=", *(f"--local-user=={name}" for name in names), *options, "--sign")
        if at is None:
            return self.run(*sign, f"--recipient={to}", "--encrypt", given=plain)
        return self.encrypt(self.run(*as_if(at), *sign, given=plain), to, "--no-literal")

    def encrypt(self, plain: bytes, to: str, *options: str) -> bytes:
        return self.run(*options, f"--recipient={to}", "--encrypt", given=plain)

    def end(self) -> None:
        subprocess.run(["gpgconf", f"--homedir={self.folder}", "--kill", "all"], capture_output=True, check=False)
