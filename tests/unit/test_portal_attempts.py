"""The back-off: free attempts, growing waits, an upper bound, and forgetting."""

import hypothesis.strategies as st
from hypothesis import given

from gateway.portal.attempts import ACCOUNT, REMEMBERED, Attempts, neighbourhood


def failures(attempts: Attempts, count: int, now: float = 100.0) -> None:
    for _ in range(count):
        attempts.begin("12345", now)


def test_some_failures_are_free_and_then_waits_double_up_to_a_bound() -> None:
    attempts = Attempts(ACCOUNT)
    waits = []
    for _ in range(ACCOUNT.free + 8):
        failures(attempts, 1)
        waits.append(attempts.wait("12345", 100.0))
    assert waits == [0.0] * ACCOUNT.free + [2, 4, 8, 16, 32, 60, 60, 60]


def test_success_and_time_forget() -> None:
    attempts = Attempts(ACCOUNT)
    failures(attempts, 20)
    assert attempts.wait("12345", 159.0) == 1.0
    assert attempts.wait("12345", 160.0) == 0.0
    attempts.begin("12345", 100.0 + ACCOUNT.forget_after)
    assert attempts.wait("12345", 100.0 + ACCOUNT.forget_after) == 0.0
    failures(attempts, 20)
    attempts.succeeded("12345")
    assert attempts.wait("12345", 100.0) == 0.0


def test_memory_is_bounded() -> None:
    attempts = Attempts(ACCOUNT)
    for number in range(REMEMBERED + 10):
        attempts.begin(str(number), 1.0)
    assert len(attempts._counts) == REMEMBERED


@given(st.lists(st.floats(min_value=0, max_value=10_000), max_size=200))
def test_nobody_ever_waits_longer_than_the_bound(times: list[float]) -> None:
    attempts = Attempts(ACCOUNT)
    for now in sorted(times):
        attempts.begin("12345", now)
        assert 0 <= attempts.wait("12345", now) <= ACCOUNT.longest_wait


def test_a_household_counts_as_one_address() -> None:
    assert neighbourhood("2001:db8:1:2::1") == neighbourhood("2001:db8:1:2:ffff::9") != neighbourhood("2001:db8:1:3::1")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("::ffff:192.0.2.1") == "192.0.2.1"
    assert neighbourhood("testclient") == "testclient"
