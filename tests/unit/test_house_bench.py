"""The benchmark runner measures what it says and writes what the contract asks for."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.runner import RUNS, Side, compare, contest

#: each of these takes a part of a second or more: `make check` leaves them out
pytestmark = pytest.mark.slow


def test_both_sides_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    result = compare("x", lambda: calls.append("ours"), "y", lambda: calls.append("peer"), unit="ns/call", amount=1)
    assert calls[:2] == ["ours", "peer"] and len(calls) == 2 * (RUNS + 1)
    assert all(set(calls[i : i + 2]) == {"ours", "peer"} for i in range(0, len(calls), 2))
    assert result.runs == RUNS and result.peak_rss_mib > 1


def test_a_slower_peer_gives_a_ratio_above_one_in_either_direction() -> None:
    fast, slow = (lambda: sum(range(100))), (lambda: sum(range(30_000)))
    assert compare("x", fast, "y", slow, unit="us/call", amount=1).ratio > 2
    rate = compare("x", fast, "y", slow, unit="calls/s", amount=1, per=False)
    assert rate.ratio > 2 and rate.value > rate.peer_value
    # the same work counted as a hundred times as much is a hundred times as fast
    assert compare("x", fast, "y", fast, unit="us/call", amount=100, peer_amount=1).ratio > 10


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        compare("x", lambda: None, "y", lambda: None, unit="ns", amount=1, runs=3)
    with pytest.raises(ValueError, match="at least 5"):
        contest("x", Side("x", lambda: None), [Side("y", lambda: None)], unit="files/s", amount=1, runs=3)


def test_a_contest_has_a_line_for_each_peer_and_times_no_preparation() -> None:
    calls: list[str] = []

    def side(name: str, work: int) -> Side:
        return Side(name, lambda: sum(range(work)), before=lambda: calls.append(f"{name}{sum(range(900_000)) * 0}"))

    first, second = contest(
        "x", side("ours", 60_000), [side("slow y", 600_000), side("fast z", 100)], unit="files/s", amount=9, rss=lambda: 7.0
    )
    assert (first.name, first.peer, second.name, second.peer) == ("x", "slow y", "x_vs_fast", "fast z")
    assert first.ratio > 3 and second.ratio < 0.3 and first.value == second.value > first.peer_value
    assert first.peak_rss_mib == 7.0 and first.runs == RUNS
    assert [call.rstrip("0") for call in calls[:3]] == ["ours", "slow y", "fast z"] and len(calls) == 3 * (RUNS + 1)
    assert {calls[i] for i in range(3, len(calls), 3)} == set(calls), "each begins a round in its turn"


def test_a_name_stands_for_all_that_begin_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command[-1])
        return subprocess.CompletedProcess(command, 1, "")

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "keep", lambda *_args, **_named: None)
    assert bench.main(["sftp", "keyed_ids"]) == 1
    assert {"sftp_large", "sftp_small", "sftp_logins", "sftp_memory", "keyed_ids"} == set(ran)


def test_the_results_have_the_contracts_fields_and_a_partial_run_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TARGET", tmp_path / "bench" / "results.json")
    one = compare("one", lambda: None, "y", lambda: None, unit="ns", amount=1).as_document()
    assert list(one) == ["name", "value", "unit", "peer", "peer_value", "ratio", "peak_rss_mib", "runs"]
    bench.keep([one, {**one, "name": "two"}], partial=False)
    bench.keep([{**one, "runs": 7}], partial=True)
    assert [(r["name"], r["runs"]) for r in json.loads(bench.TARGET.read_text())] == [("one", 7), ("two", 5)]


def test_a_name_that_is_no_benchmark_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["no_such"]) == 2
    assert "keyed_ids" in capsys.readouterr().err
