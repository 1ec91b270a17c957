"""How much of the register may change before a file is not believed."""

import pytest

from policies.register_changes import suspicions


@pytest.mark.parametrize("what", ["ended", "moved", "kind_changed"])
@pytest.mark.parametrize(
    ("count", "known", "doubted"), [(50, 1000, False), (51, 1000, True), (10, 12, False), (11, 12, True), (11, 220, False)]
)
def test_more_than_a_twentieth_of_the_schools_and_more_than_ten(what: str, count: int, known: int, doubted: bool) -> None:
    found = suspicions({what: count}, known)
    assert (len(found) == 1) is doubted
    assert not doubted or f"{count} of {known:,} schools" in found[0]


def test_what_is_new_or_renamed_is_believed_and_each_doubt_is_said() -> None:
    assert suspicions({"added": 6_268, "renamed": 6_000, "board_added": 847}, 0) == []
    assert len(suspicions({"ended": 600, "moved": 600, "kind_changed": 600}, 6_268)) == 3
