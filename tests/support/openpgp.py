"""A vendor's own gpg: a home with our public key in it, and what it makes of a text."""

import subprocess
from pathlib import Path

#: what every call gets: nobody is asked anything
_GPG = ("gpg", "--batch", "--no-tty", "--no-options", "--quiet", "--trust-model=always", "--pinentry-mode=loopback")


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

    def own_key(self, name: str, *kind: str) -> None:
        """A key of the vendor's own."""
        self.run("--passphrase=", "--quick-generate-key", name, *kind)

    def encrypt(self, plain: bytes, to: str, *options: str) -> bytes:
        return self.run(*options, f"--recipient={to}", "--encrypt", given=plain)

    def end(self) -> None:
        subprocess.run(["gpgconf", f"--homedir={self.folder}", "--kill", "all"], capture_output=True, check=False)
