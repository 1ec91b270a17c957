"""The languages that the vendor's side answers in."""

from enum import StrEnum


class Language(StrEnum):
    NL = "nl"
    EN = "en"
