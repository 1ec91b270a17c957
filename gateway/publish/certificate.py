"""The erasure certificate as a page for people, with the signed document in it."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from audit import document
from gateway.drop.certificate import certificate_name, dutch
from gateway.typeset import Attachment, compile_pdf, template_text


def certificate_pdf(found: Mapping[str, Any]) -> bytes:
    """A signed certificate as PDF/UA-1 [bytes], in Dutch; the document itself is attached. The same bytes for the same document.

    What it says is the document's: whoever wants to know that it is true checks that (`sluis audit check`). Raises Unsound.
    """
    signed = Attachment(certificate_name(found["drop"]), document.write(found).decode(), "application/json", "Het ondertekende certificaat")
    return compile_pdf(_template(), dutch(found), title=f"Certificaat van vernietiging {found['drop']}", attached=[signed])


@cache
def _template() -> str:
    return template_text(__package__, "certificate.typ")
