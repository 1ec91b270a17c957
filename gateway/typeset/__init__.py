"""Typst and the fonts: turns a template and values into a PDF."""
