"""Fixtures of tests against the whole gateway."""

from tests.support.untraced import untraced

__all__ = ["untraced"]
