"""Fixtures of tests in which somebody attacks."""

from tests.support.untraced import untraced

__all__ = ["untraced"]
