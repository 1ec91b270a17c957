"""The keys that vendors encrypt to, as the gateway says them under its signature. Pure: keys in, document out, and back.

Keys change with each campaign; what stays is the key that signs receipts and the log. Who knows that one believes a new key only
when it signed it: the endpoint, which hands both out, can't sign (docs/threat-model.md).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from policies.errors import Refused

SCHEMA = "sluis-sleutels-1"
#: its name in `sleutels/`
FILE = "sluis.sleutels.json"


def compose(age: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The document, unsigned. `age`: the current recipient (`age1…`); `files`: what is handed out beside it, by name, for who takes those
    by hand and compares their SHA-256."""
    return {"schema": SCHEMA, "age": [age], "sha256": {name: sha256(content).hexdigest() for name, content in sorted(files.items())}}


def age_keys_in(document: Mapping[str, Any]) -> list[str]:
    """The recipients in a document whose signature was checked; Refused (`no-gateway-key`) when it is no such document."""
    keys = document.get("age")
    if document.get("schema") != SCHEMA or not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise Refused("no-gateway-key", "The gateway hands out no key to encrypt to.", "Tell the gateway's owner.")
    return keys
