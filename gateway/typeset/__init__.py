"""Typst and the fonts: turns a template and values into a PDF."""

from gateway.typeset.typst import compile_pdf, template_text

__all__ = ["compile_pdf", "template_text"]
