"""Typst and the fonts: turns a template and values into a PDF."""

from gateway.typeset.typst import Attachment, compile_pdf, template_text

__all__ = ["Attachment", "compile_pdf", "template_text"]
