"""The endpoint's own keys: the one it shows, and the ones it will show next.

A client that knows the host by its key learns the next one while the first still counts: after the login the endpoint names all
its keys (hostkeys-00@openssh.com, OpenSSH's PROTOCOL §2.5) and proves on demand that it has them (hostkeys-prove-00). So a
rotation is: make the next key (`sluis key rotate ssh-host`), wait until clients have come by, retire the first one (the same
command again).

Keys are Ed25519, in the key store under `ssh`. The oldest, which is the first by name, is the one that is shown.
"""

import asyncssh
from asyncssh import SSHKey

from gateway.store.home import Home
from gateway.store.host_keys import host_key_names
from policies.errors import Unsound


def host_keys(home: Home) -> list[SSHKey]:
    """The keys, the one that is shown first. NotFound (`key-gone`, `key-not-handed`), Unsound (`host-key-unreadable`)."""
    keys = []
    for name in host_key_names(home):
        try:
            keys.append(asyncssh.import_private_key(home.keystore.read("ssh", name).reveal()))
        except asyncssh.KeyImportError:
            raise Unsound(
                "host-key-unreadable", f"The key ssh/{name} is not an OpenSSH private key.", "Restore it from a backup."
            ) from None
    return keys
