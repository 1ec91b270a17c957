"""The fuzzers of deliveries begin well and find nothing in a short run; what they look for, they would find."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.checks.findings import DropRefused, finding
from tests.support.deliveries import bsn, check, row, write_csv
from tests.support.leaks import carried, leaked, told

FUZZERS = ("age", "csv", "openpgp", "xml", "zip")
#: inputs of each; a gigabyte of memory and twenty seconds for one would be a find
RUNS = 1500


def test_every_fuzzer_of_deliveries_is_run_here() -> None:
    there = {path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py")}
    assert there == {*FUZZERS, "sftp"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_some_thousand_inputs(tmp_path: Path, project: Path, name: str) -> None:
    """atheris; a find is written where pytest keeps its folders, and is an input for the same program."""
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86_64 only", exc_type=ImportError)
    done = subprocess.run(
        [
            # a process's peak of memory begins with its parent's (getrusage(2)), and libFuzzer looks at that: a shell is a small one
            "sh", "-c", '"$@"; exit $?', "sh",
            sys.executable, "-m", f"tests.hostile.fuzz_{name}", str(tmp_path / "corpus"), f"-runs={RUNS}", "-max_total_time=60",
            "-max_len=8192", "-len_control=0", "-timeout=20", "-rss_limit_mb=1000", f"-artifact_prefix={tmp_path}/", "-print_final_stats=1",
        ],
        cwd=project, capture_output=True, text=True, errors="replace", timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    executed = re.search(r"number_of_executed_units: ([0-9]+)", done.stderr)
    assert executed is not None and int(executed[1]) > 200, "it ran, and not only started"


def test_a_value_in_a_finding_or_behind_an_exception_is_seen() -> None:
    number = str(bsn(1))
    content = write_csv([row()])
    assert leaked(content, f"de waarde {number} deugt niet") == {number}
    assert leaked(content, "in rij 3 van 1000 staat 2026") == set()
    try:
        try:
            raise ValueError(f"could not parse `{number}`")
        except ValueError:
            raise DropRefused(finding("unreadable")) from None
    except DropRefused as stop:
        assert leaked(content, carried(stop)) == {number}
    assert leaked(content, told(check(content.replace(b"M5", b"M9"))[1])) == set()


def test_what_a_fuzzer_watches_is_the_reading_itself() -> None:
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86_64 only", exc_type=ImportError)
    from tests.support.fuzzing import Watched, judged

    content = write_csv([row(), row(score="x")])
    accepted, outcome = judged(io.BytesIO(content), content)
    assert len(accepted) == 1 and outcome.refused, "what came before the end is not to be kept"
    reading = Watched(io.BytesIO(b"geen kop\n"))
    assert list(reading.batches()) == [] and "no-header" in reading.carried
