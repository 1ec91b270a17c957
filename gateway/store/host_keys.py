"""Which SSH host keys a home has: one in use, and while a rotation is under way the next one."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from gateway.store.home import Home
from gateway.store.ssh_keys import PublicKey, read_public_keys
from keys.signing import new_ssh_host_key
from policies.errors import Refused

KIND, FIRST = "ssh", "host"
#: clients get so long to come by and learn the next key; `--now` does not wait [days]
LEARN_DAYS = 30


def host_key_names(home: Home) -> list[str]:
    """The names of the host keys, the one in use first: `host`, then `host-<when>` by age."""
    return [name for name in home.keystore.names(KIND) if name == FIRST or name.startswith(f"{FIRST}-")] or [FIRST]


def public_half(home: Home, name: str) -> PublicKey:
    """What clients know a host key by; NotFound (`key-gone`)."""
    private = load_ssh_private_key(home.keystore.read(KIND, name).reveal(), None)
    return read_public_keys(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())[0]


def learned_at(home: Home, name: str) -> datetime:
    """When clients have had time enough to learn a key."""
    return home.keystore.created_at(KIND, name) + timedelta(days=LEARN_DAYS)


def announce_next(home: Home) -> str:
    """Make the key that comes after the one in use; its name. Refused (`rotation-under-way`) when there is one already."""
    if len(host_key_names(home)) > 1:
        raise Refused("rotation-under-way", "The next host key is there already.", "The same command again retires the old one.")
    with home.ledger.change("administrator") as change:
        name = f"{FIRST}-{change.now:%Y%m%dT%H%M%S}"
        home.keystore.create(KIND, name, new_ssh_host_key())
        change.audit("key.announced", f"{KIND}/{name}", fingerprint=public_half(home, name).fingerprint)
    return name


def retire_first(home: Home, now: bool = False) -> str:
    """The next key is the one in use from the intake's next reload on; the old one is destroyed. Answers the next one's name.

    Refused: `no-next-key`; `rotation-too-early` when clients had less than LEARN_DAYS to learn it, unless `now`.
    """
    names = host_key_names(home)
    if len(names) < 2:
        raise Refused("no-next-key", "There is no next host key.", "`sluis key rotate ssh-host` makes it.")
    with home.ledger.change("administrator") as change:
        due = learned_at(home, names[1])
        if not now and change.now < due:
            raise Refused(
                "rotation-too-early",
                f"Clients are learning the next host key until {due:%Y-%m-%d}.",
                "`--now` does not wait: who has not come by meanwhile will be warned of a changed key.",
            )
        change.audit("key.retired", f"{KIND}/{names[0]}", fingerprint=public_half(home, names[0]).fingerprint)
    home.keystore.destroy(KIND, names[0])  # killed before this, the same command does it
    return names[1]
