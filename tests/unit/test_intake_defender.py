"""The defender and the doorstep: who waits, how long, and that nobody waits for ever. No clock: the tests say what time it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.front.defender import HALF_LIFE, LONGEST, SHORTEST, SLOWEST, THRESHOLD, Defender, network_of
from gateway.intake.front.doorstep import EARLY, Doorstep

ATTACKER, VENDOR = "198.51.100.7", "203.0.113.9"


def shut_out_once(defender: Defender, now: float) -> None:
    while not defender.failed(ATTACKER, "", "protocol", now):
        pass


def test_a_few_refused_keys_are_nothing() -> None:
    defender = Defender()
    assert not any(defender.failed(ATTACKER, "vendor", "key-refused", 0.0) for _ in range(6))  # what an agent with six keys does
    assert defender.shut_out(ATTACKER, 0.0) == 0


def test_going_on_shuts_an_address_out_and_no_other() -> None:
    defender = Defender()
    shut_out_once(defender, 0.0)
    assert defender.shut_out(ATTACKER, 0.0) == SHORTEST
    assert defender.shut_out(ATTACKER, SHORTEST) == 0
    assert defender.shut_out(VENDOR, 0.0) == 0


def test_each_further_time_is_twice_as_long_up_to_a_bound() -> None:
    defender, now, lengths = Defender(), 0.0, []
    for _ in range(12):
        shut_out_once(defender, now)
        lengths.append(defender.shut_out(ATTACKER, now))
        now += lengths[-1]
    assert lengths[:4] == [SHORTEST, 2 * SHORTEST, 4 * SHORTEST, 8 * SHORTEST]
    assert lengths[-1] == LONGEST == max(lengths)


def test_a_quiet_address_begins_anew() -> None:
    defender = Defender()
    for now in (0.0, 40.0):
        shut_out_once(defender, now)
    much_later = 40.0 + 3 * LONGEST
    shut_out_once(defender, much_later)
    assert defender.shut_out(ATTACKER, much_later) == SHORTEST


def test_points_fade() -> None:
    defender = Defender()
    for at in range(1000):  # one a minute for ever: a script with an old key
        assert not defender.failed(ATTACKER, "", "key-refused", at * 60.0)


def test_a_login_ends_the_story() -> None:
    defender = Defender()
    for _ in range(int(THRESHOLD) - 1):
        defender.failed(VENDOR, "vendor", "key-refused", 0.0)
    defender.succeeded(VENDOR, "vendor")
    assert not defender.failed(VENDOR, "vendor", "key-refused", 0.0) and defender.delay(VENDOR, "vendor", 0.0) == 0


def test_known_and_unknown_accounts_are_slowed_alike() -> None:
    """The defender is never told whether an account exists; what it can say is the same for any two names."""
    one, other = Defender(), Defender()
    for at in range(15):
        one.failed(ATTACKER, "parnassys", "key-refused", at)
        other.failed(ATTACKER, "nobody-at-all", "key-refused", at)
        assert one.delay(ATTACKER, "parnassys", at) == other.delay(ATTACKER, "nobody-at-all", at)
    assert 0 < one.delay(VENDOR, "parnassys", 15) <= SLOWEST


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_ipv6_subscriber_is_one_address(first: int, second: int) -> None:
    def spelled(host: int) -> str:
        return "2001:db8:0:7:" + ":".join(f"{host >> shift & 0xFFFF:x}" for shift in (48, 32, 16, 0))

    assert network_of(spelled(first)) == network_of(spelled(second)) != network_of("2001:db8:0:8::1")


def test_an_ipv4_address_in_ipv6_clothes_is_itself() -> None:
    assert network_of("::ffff:198.51.100.7") == network_of(ATTACKER) == ATTACKER
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


def test_memory_is_bounded_and_the_newest_stay() -> None:
    defender = Defender(remembered=100)
    for number in range(10_000):
        defender.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"user{number}", "flood", 0.0)
    assert len(defender.addresses) == len(defender.accounts) == 100
    assert defender.addresses.of("10.0.39.15") is not None  # the last one
    defender.failed(ATTACKER, "x" * 100_000, "flood", 0.0)
    assert defender.accounts.of("x" * 256) is not None


@given(st.lists(st.tuples(st.floats(0, 5000), st.sampled_from(["key-refused", "protocol", "flood", "whatever"])), max_size=200))
def test_nobody_is_ever_out_for_longer_than_the_bound(events: list[tuple[float, str]]) -> None:
    defender, now = Defender(), 0.0
    for step, reason in events:
        now += step
        defender.failed(ATTACKER, "vendor", reason, now)
        assert 0 <= defender.shut_out(ATTACKER, now) <= LONGEST
        assert 0 <= defender.delay(ATTACKER, "vendor", now) <= SLOWEST
    assert defender.shut_out(ATTACKER, now + LONGEST) == 0
    assert defender.delay(ATTACKER, "vendor", now + 10 * HALF_LIFE) == 0


# ---------------------------------------------------------------- the doorstep


def fill(doorstep: Doorstep, many: int) -> None:
    for number in range(many):
        doorstep.come(f"10.0.{number >> 8}.{number & 255}")


def test_the_bounds_are_exact() -> None:
    doorstep = Doorstep(in_all=100, per_address=3, chance=lambda: 1.0)
    for _ in range(3):
        assert doorstep.why_not(ATTACKER) is None
        doorstep.come(ATTACKER)
    assert doorstep.why_not(ATTACKER) == "too-many-from-address"
    fill(doorstep, 97)
    assert doorstep.why_not(VENDOR) == "too-many"
    doorstep.leave(ATTACKER)
    assert doorstep.why_not(VENDOR) is None and doorstep.why_not(ATTACKER) is None


@pytest.mark.parametrize(("count", "chance"), [(0, 0.0), (69, 0.0), (70, 0.3), (85, 0.65), (99, 0.3 + 0.7 * 29 / 30)])
def test_the_nearer_the_bound_the_more_are_cut(count: int, chance: float) -> None:
    doorstep = Doorstep(in_all=100, per_address=3)
    fill(doorstep, count)
    assert doorstep.early_chance() == pytest.approx(chance) and EARLY == 0.7


def test_early_drop_throws_dice() -> None:
    dice = iter([0.29, 0.31])
    doorstep = Doorstep(in_all=100, per_address=3, chance=lambda: next(dice))
    fill(doorstep, 70)
    assert doorstep.why_not(VENDOR) is None, "nobody of that address is here yet: no dice are thrown"
    doorstep.come(VENDOR)
    doorstep.leave("10.0.0.0")
    assert doorstep.why_not(VENDOR) == "early-drop" and doorstep.why_not(VENDOR) is None


@given(st.lists(st.integers(0, 5)))
def test_whoever_comes_leaves_no_trace(visits: list[int]) -> None:
    doorstep = Doorstep(in_all=1000, per_address=1000)
    for visit in visits:
        doorstep.come(f"10.0.0.{visit}")
    for visit in visits:
        doorstep.leave(f"10.0.0.{visit}")
    assert doorstep.count == 0 and not doorstep._by_address
