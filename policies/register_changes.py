"""Which changes of the schools' register are too many to be believed: a wrong or half a file, rather than what happened in the country."""

from collections.abc import Mapping

#: a year of closures and mergers touches fewer schools than this share
SHARE = 0.05
#: so few may be what happened, whatever their share
FEW = 10

#: what an import does to schools → how a person reads it
_DOUBTED = {
    "ended": "would have no board any more",
    "moved": "would go to another board",
    "kind_changed": "would be of another kind",
}


def suspicions(counts: Mapping[str, int], known: int) -> list[str]:
    """What an import does to more than SHARE of the `known` schools, and to more than FEW; `counts` by the names of _DOUBTED."""
    doubted = [(counts.get(what, 0), text) for what, text in _DOUBTED.items()]
    return [f"{count:,} of {known:,} schools ({count / known:.0%}) {text}." for count, text in doubted if count > max(FEW, known * SHARE)]
