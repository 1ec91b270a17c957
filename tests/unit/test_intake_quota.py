"""What one vendor may have: exact to the byte and to the file, at the border on both sides, and handed out at the speed that was set."""

from dataclasses import fields, replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.files.refusals import CATALOGUE, IntakeRefused
from gateway.intake.front.quota import Account, Bucket, Limits, Use
from gateway.store.config import Intake

DAY = date(2026, 2, 20)
ROOMY = Limits(
    file_bytes=1000,
    sessions=9,
    handles=9,
    unfinished=9,
    day_files=9,
    day_bytes=10_000,
    store_files=9,
    store_bytes=10_000,
    bytes_per_second=0,
)


def account(**limits: int) -> Account:
    return Account(replace(ROOMY, **limits), DAY)


def test_a_vendors_own_limit_goes_before() -> None:
    intake = Intake()
    assert Limits.of(intake, {}) == Limits.of(intake, {"day_bytes_per_vendor": intake.day_bytes_per_vendor})
    assert Limits.of(intake, {"day_bytes_per_vendor": 7}) == replace(Limits.of(intake, {}), day_bytes=7)
    every = {name: 3 for name in Intake.model_fields if name.endswith("_per_vendor") or name == "max_file_bytes"}
    assert {getattr(Limits.of(intake, every), field.name) for field in fields(Limits)} == {3}, "each limit has a name to set it by"


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("limit", "code"), [("unfinished", "too-many-unfinished"), ("day_files", "day-files"), ("store_files", "store-files")]
)
def test_the_last_file_is_taken_and_the_next_is_not(limit: str, code: str) -> None:
    one = account(**{limit: 2})
    one.begin("a")
    one.begin("b")
    with pytest.raises(IntakeRefused) as refused:
        one.begin("c")
    assert refused.value.code == code
    assert set(one.arriving) == {"a", "b"}, "what was refused does not count"
    one.given_up("a")
    one.begin("c")


def test_what_is_delivered_counts_as_much_as_what_arrives() -> None:
    one = account(day_files=2, store_files=3)
    one.begin("a")
    one.delivered("a", 0, DAY)
    one.begin("b")
    assert one.refusal_of_a_new_one() == "day-files"
    one.delivered("b", 0, DAY)
    one.at(date(2026, 2, 21))
    one.begin("c")
    assert one.refusal_of_a_new_one() == "store-files", "another day: what is stored still counts"


def test_a_day_does_not_come_back() -> None:
    one = account()
    one.begin("a")
    one.delivered("a", 5, DAY)
    one.at(date(2026, 2, 21))
    one.at(DAY)
    assert (one.day, one.today, one.stored) == (date(2026, 2, 21), Use(0, 0), Use(1, 5))
    one.begin("b")
    one.delivered("b", 5, DAY)
    assert one.today == Use(0, 0), "received before midnight, told after it"


# ---------------------------------------------------------------- bytes


@pytest.mark.parametrize(("limit", "code"), [("file_bytes", "too-large"), ("day_bytes", "day-bytes"), ("store_bytes", "store-bytes")])
def test_the_last_byte_is_allowed_and_the_next_is_not(limit: str, code: str) -> None:
    one = account(**{limit: 100})
    one.begin("a")
    assert (one.reach("a", 100), one.why_not("a", 100)) == (100, "")
    assert (one.reach("a", 101), one.why_not("a", 101)) == (100, code)


def test_uploads_share_and_give_back() -> None:
    one = account(day_bytes=100)
    for uid in ("a", "b"):
        one.begin(uid)
    one.allow("a", 80)
    assert one.reach("b", 50) == 20
    assert one.why_not("b", 21) == "day-bytes"
    one.allow("a", 30)
    assert one.reach("b", 50) == 50
    one.allow("b", 50)
    one.delivered("a", 30, DAY)
    assert (one.free_bytes, one.arriving_bytes) == (20, 50)
    one.given_up("b")
    assert one.free_bytes == 70


def test_a_limit_that_was_lowered_takes_nothing_away() -> None:
    one = account()
    one.begin("a")
    one.allow("a", 500)
    one.limit(replace(ROOMY, day_bytes=100))
    assert one.reach("a", 600) == 500
    assert one.why_not("a", 500) == "" and one.why_not("a", 501) == "day-bytes"
    assert one.free_bytes == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["begin", "grow", "back", "deliver", "drop"]), st.integers(0, 60))))
def test_no_order_of_events_passes_a_limit_or_loses_a_byte(events: list[tuple[str, str, int]]) -> None:
    one = account(file_bytes=50, day_bytes=100, store_bytes=120, day_files=3, store_files=4)
    delivered: list[int] = []
    for uid, what, size in events:
        if what == "begin" and uid not in one.arriving and not one.refusal_of_a_new_one():
            one.begin(uid)
        elif uid not in one.arriving:
            continue
        elif what == "grow":
            before = one.arriving[uid]
            reached = one.reach(uid, size)
            assert bool(one.why_not(uid, size)) == (reached < size), "refused when, and only when, there is no room"
            one.allow(uid, max(before, reached))
        elif what == "back":
            one.allow(uid, min(one.arriving[uid], size))
        elif what == "deliver":
            delivered.append(one.arriving[uid])
            one.delivered(uid, one.arriving[uid], DAY)
        elif what == "drop":
            one.given_up(uid)
        assert one.arriving_bytes == sum(one.arriving.values())
        assert one.today == one.stored == Use(len(delivered), sum(delivered))
        assert one.today.bytes + one.arriving_bytes <= 100 and one.today.files + len(one.arriving) <= 3
        assert all(reached <= 50 for reached in one.arriving.values())
        assert one.free_bytes == 100 - one.today.bytes - one.arriving_bytes


# ---------------------------------------------------------------- speed


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 3)), min_size=1))
def test_no_second_hands_out_more_than_the_rate_and_one_burst(asked: list[tuple[int, float]]) -> None:
    """Whoever takes waits as long as told before using it: by any time T at most rate · (T + 1) bytes are in use."""
    bucket, now, used = Bucket(100), 0.0, 0
    for amount, pause in asked:
        now += bucket.take(amount, now)
        used += amount
        assert used <= 100 * (now + 1) + 1e-6
        now += pause


def test_nothing_is_waited_for_that_the_rate_allows() -> None:
    bucket = Bucket(100)
    assert bucket.take(100, 0.0) == 0.0, "one second's worth at once"
    assert bucket.take(50, 0.0) == 0.5
    bucket.put_back(50)
    assert bucket.take(0, 0.5) == 0.0
    assert Bucket(0).take(1 << 40, 0.0) == 0.0, "no bound"


def test_another_rate_counts_from_now_on() -> None:
    bucket = Bucket(0)
    bucket.take(1 << 40, 0.0)
    bucket.change(100)
    assert bucket.take(200, 0.0) == 1.0
    bucket.change(1000)
    assert bucket.take(0, 0.0) == 0.1


# ---------------------------------------------------------------- telling


def test_from_four_fifths_on_it_is_said() -> None:
    one = account(day_files=10, store_files=100, day_bytes=1000, store_bytes=10_000)
    for number in range(7):
        one.begin(str(number))
        one.delivered(str(number), 100, DAY)
    assert one.notices(799) == []
    assert one.notices(800) == ["limit-file-bytes"]
    one.begin("8")
    one.delivered("8", 100, DAY)
    assert one.notices(100) == ["limit-day-files", "limit-day-bytes"]


def test_every_refusal_has_its_words() -> None:
    for code in (
        "too-large",
        "day-files",
        "day-bytes",
        "store-files",
        "store-bytes",
        "too-many-unfinished",
        "too-many-handles",
        "disk-full",
    ):
        text = CATALOGUE[code]
        assert text.dutch.endswith(".") and text.english.endswith(".") and text.dutch != text.english
