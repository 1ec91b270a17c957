"""A bundle over HTTP: strong ETag, ranges, conditions (RFC 9110, sections 13 and 14), decrypted while it is sent."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.portal.rights import Rights
from gateway.store import publication
from gateway.store.models import Bundle
from keys.chunked import Reader
from policies.errors import Unsound

#: What goes to the network at once: several chunks, so that a thread is asked less often [bytes]
PIECE_BYTES = 512 * 1024

_ONE_RANGE = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins after the end."""


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the one range that `header` asks for; None when the whole is to be sent.

    Anything but one well-formed byte range is answered with the whole, as RFC 9110 section 14.2 allows. Raises Unsatisfiable.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "" or (not match[1] and not match[2]):
        return None
    if not match[1]:  # the last n bytes
        wanted = int(match[2][:20])
        if wanted == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - wanted), size
    start = int(match[1][:20])
    last = int(match[2][:20]) if match[2] else size - 1
    if match[2] and last < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(last + 1, size)


def tags(header: str) -> list[str]:
    """The entity tags of an If-Match or If-None-Match header, weak marks kept."""
    return re.findall(r'(?:W/)?"[^"]*"|\*', header)


def bundle_response(request: Request, rights: Rights, bundle: Bundle, origin: str) -> Response:
    """The answer to GET or HEAD for a bundle that the asking board may have. What goes out is written down before the first byte does.

    Raises NotFound (`key-gone`) when it was withdrawn meanwhile, Unsound (`bundle-damaged`) when its file was changed.
    """
    etag = f'"{bundle.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": 'attachment; filename="Rapportages.zip"',
        "Cache-Control": "private, no-store",
        "Content-Type": "application/zip",
    }
    asked = request.headers
    if (required := asked.get("if-match")) is not None and not {etag, "*"} & set(tags(required)):
        return Response(status_code=412, headers={"ETag": etag})
    if (known := asked.get("if-none-match")) is not None and {etag, f"W/{etag}", "*"} & set(tags(known)):
        return Response(status_code=304, headers={"ETag": etag})
    whole = request.method == "HEAD" or ("if-range" in asked and asked["if-range"].strip() != etag)
    try:
        part = None if whole else requested_range(asked.get("range"), bundle.bytes)
    except Unsatisfiable:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{bundle.bytes}", "ETag": etag, "Accept-Ranges": "bytes"})
    start, stop = part or (0, bundle.bytes)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{bundle.bytes}"
    if request.method == "HEAD":
        return Response(headers=headers)
    pieces = _open(rights, bundle, start, stop)
    with rights.ledger.change(f"board {bundle.board}", origin) as change:
        publication.downloaded(change, bundle, start, stop)
    return StreamingResponse(pieces, status_code=200 if part is None else 206, headers=headers)


def _open(rights: Rights, bundle: Bundle, start: int, stop: int) -> Iterator[bytes]:
    """The plain bytes; what can be known to be wrong is known before the first of them."""
    key = rights.bundle_key(bundle.id)
    file: BinaryIO = (rights.bundles / bundle.file).open("rb")
    try:
        reader = Reader(key, bundle.id, file)
        if reader.size != bundle.bytes:
            raise Unsound("bundle-damaged", "A bundle is not as long as the ledger says.", "Publish the campaign again.")
    except BaseException:
        file.close()
        raise
    return _pieces(file, reader, start, stop)


def _pieces(file: BinaryIO, reader: Reader, start: int, stop: int) -> Iterator[bytes]:
    with file:
        held = bytearray()
        for chunk in reader.read_range(start, stop):
            held += chunk
            if len(held) >= PIECE_BYTES:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)
