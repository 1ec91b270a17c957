"""Signed JSON documents: receipts and certificates that a program reads as they are and anyone can check.

A document is an object with a member `signatures`: lines of a C2SP signed note. What they sign is the canonical JSON of the
document without that member, and a new line. That text is a single line that starts with `{`, so it can never be taken for a
checkpoint, which the same key signs.
"""

import json
from collections.abc import Mapping, Sequence

from audit import note
from audit.canonical import Json, canonical
from policies.errors import Refused, Unsound

MEMBER = "signatures"


def sign(document: Mapping[str, Json], signer: note.Signer) -> dict[str, Json]:
    """A copy of `document` with one signature, in place of any it had; Refused (`not-canonical`) as `canonical`."""
    return {**_unsigned(document), MEMBER: [signer.signature(_text(document)).line]}


def check(document: Mapping[str, Json], verifiers: Sequence[note.Verifier]) -> note.Verifier:
    """Who of `verifiers` signed it; Unsound (`document-unsigned`, `note-forged`, `note-unsigned`) when none did."""
    lines = document.get(MEMBER)
    signatures = [note.parse_signature(line) if isinstance(line, str) else None for line in lines] if isinstance(lines, list) else []
    if not signatures or len(signatures) > note.MOST_SIGNATURES or None in signatures:
        raise Unsound("document-unsigned", "The document holds no signature.", "It was changed, or was not written by Sluis.")
    try:
        text = _text(document)
    except Refused as error:
        raise Unsound("document-unsigned", "The document can't have been signed as it is.", error.message) from None
    return note.check(text, [signature for signature in signatures if signature], verifiers)


def as_note(document: Mapping[str, Json]) -> bytes:
    """The signed note that the document stands for, for other tools."""
    lines = document.get(MEMBER)
    return "\n".join([_text(document), *(map(str, lines) if isinstance(lines, list) else ()), ""]).encode()


def write(document: Mapping[str, Json]) -> bytes:
    """The file: indented for people. Its spelling is not signed, its values are."""
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def read(data: bytes) -> dict[str, Json]:
    """The document in a file; Unsound (`not-a-document`) when there is none, or when a member stands in it twice."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once)
        if isinstance(value, dict):
            return value
    except (ValueError, RecursionError):
        pass
    raise Unsound("not-a-document", "This is not a signed document of Sluis.", "It was changed, or is another file.")


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _unsigned(document: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in document.items() if name != MEMBER}


def _text(document: Mapping[str, Json]) -> str:
    return canonical(_unsigned(document)).decode() + "\n"
