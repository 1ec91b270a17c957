"""Where a delivery goes: `sftp://NAME@HOST:PORT`."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gateway.vendor.refusals import refusal

#: the endpoint's usual port
PORT = 2222


@dataclass(frozen=True)
class Target:
    user: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Target":
        """WrongUsage (`bad-target`) when `url` is not of that form; a password in it is refused too."""
        wrong = refusal("bad-target")
        try:
            parts = urlsplit(url)
            port = parts.port or PORT
        except ValueError:
            raise wrong from None
        if parts.scheme != "sftp" or not parts.hostname or not parts.username or parts.path.strip("/") or parts.query:
            raise wrong
        if parts.password is not None:
            raise refusal("password-in-target")
        return cls(unquote(parts.username), parts.hostname, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{self.user}@{host}:{self.port}"

    @property
    def known_as(self) -> str:
        """The host's name in a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"  # SSH's own port needs no brackets
